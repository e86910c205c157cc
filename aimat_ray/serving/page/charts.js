// Pictures as inline SVG, drawn from numbers.

import { number, svg } from "./dom.js";

const W = 360;
const H = 62;
const FLOOR = 44;

/**
 * Measured alloys per bin, with a prediction and its interval on top.
 * @param {object} found distribution of the service, or undefined
 * @param {object} estimate {value, lower, upper}; the interval may be null
 * @param {string} words what a reader who can't see it is told
 */
export function histogram(found, estimate, words) {
  const ends = [estimate.value, estimate.lower, estimate.upper].filter((v) => Number.isFinite(v) && v !== null);
  const edges = found ? found.edges : [];
  const low = Math.min(...ends, ...edges.slice(0, 1));
  const high = Math.max(...ends, ...edges.slice(-1));
  const span = high - low || 1;
  const x = (value) => 4 + ((W - 8) * (value - low)) / span;
  const parts = [];
  if (found) {
    const top = Math.max(...found.counts, 1);
    found.counts.forEach((count, i) => {
      const left = x(edges[i]);
      const width = Math.max(x(edges[i + 1]) - left - 1, 0.5);
      const bar = (n, name) => {
        const height = n ? Math.max(((FLOOR - 4) * n) / top, 1) : 0;
        return svg("rect", { class: name, x: left, y: FLOOR - height, width, height });
      };
      parts.push(bar(count, "bar"));
      if (found.base_counts) parts.push(bar(found.base_counts[i], "bar-base"));
    });
  }
  parts.push(svg("line", { class: "axis", x1: 4, x2: W - 4, y1: FLOOR, y2: FLOOR }));
  if (estimate.lower !== null && estimate.lower !== undefined) {
    const left = x(estimate.lower);
    parts.push(svg("rect", { class: "band", x: left, y: 2, width: Math.max(x(estimate.upper) - left, 1), height: FLOOR - 2 }));
  }
  parts.push(svg("line", { class: "mark", x1: x(estimate.value), x2: x(estimate.value), y1: 0, y2: FLOOR + 4 }));
  parts.push(svg("text", { x: 4, y: H - 4 }, number(low)));
  parts.push(svg("text", { x: W - 4, y: H - 4, "text-anchor": "end" }, number(high)));
  return svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": words }, ...parts);
}

/** Share of the measured alloys below a value, 0..1, from counts per bin. */
export function shareBelow(found, value) {
  let below = 0;
  found.counts.forEach((count, i) => {
    const [left, right] = [found.edges[i], found.edges[i + 1]];
    below += count * Math.min(Math.max((value - left) / (right - left), 0), 1);
  });
  return below / Math.max(found.n, 1);
}

/** Round numbers that cover a range, about `wanted` of them. */
export function ticks(low, high, wanted = 5) {
  const rough = (high - low) / wanted || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 5, 10].find((factor) => unit * factor >= rough) || 10);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) found.push(value);
  return found;
}

/**
 * One point per candidate.
 * @param {object[]} points {x, y, xl, xu, yl, yu, filled, chosen, title, choose}
 * @param {string} across label of the x axis
 * @param {string} up label of the y axis
 */
export function scatter(points, across, up, width) {
  const [w, h] = [Math.max(Math.min(width, 1100), 300), 330];
  const [left, right, top, bottom] = [56, 12, 22, 46];
  const range = (name) => {
    const values = points.map((point) => point[name]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - room, high + room];
  };
  const [[xl, xh], [yl, yh]] = [range("x"), range("y")];
  const px = (value) => left + ((w - left - right) * (value - xl)) / (xh - xl);
  const py = (value) => h - bottom - ((h - top - bottom) * (value - yl)) / (yh - yl);
  const parts = [];
  for (const tick of ticks(xl, xh, w < 500 ? 4 : 7)) {
    parts.push(svg("line", { class: "grid", x1: px(tick), x2: px(tick), y1: top, y2: h - bottom }));
    parts.push(svg("text", { x: px(tick), y: h - bottom + 17, "text-anchor": "middle" }, number(tick)));
  }
  for (const tick of ticks(yl, yh)) {
    parts.push(svg("line", { class: "grid", x1: left, x2: w - right, y1: py(tick), y2: py(tick) }));
    parts.push(svg("text", { x: left - 8, y: py(tick) + 4, "text-anchor": "end" }, number(tick)));
  }
  parts.push(svg("text", { x: w - right, y: h - 8, "text-anchor": "end" }, `${across} →`));
  parts.push(svg("text", { x: 4, y: 12 }, `↑ ${up}`));
  // The chosen one last: on top of the others.
  for (const point of [...points].sort((a, b) => Number(a.chosen) - Number(b.chosen))) {
    if (point.chosen) parts.push(...whiskers(point, px, py, [left, w - right], [top, h - bottom]));
    const name = `point${point.filled ? " confirmed" : ""}${point.chosen ? " chosen" : ""}`;
    const radius = point.chosen ? 8 : 5.5;
    const mark = svg("circle", { class: name, cx: px(point.x), cy: py(point.y), r: radius, onclick: point.choose });
    mark.append(svg("title", {}, point.title));
    parts.push(mark);
  }
  const words = `${points.length} candidates, ${up} over ${across}; the table below has the same numbers`;
  return svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": words }, ...parts);
}

function whiskers(point, px, py, [left, right], [top, bottom]) {
  const within = (value, low, high) => Math.min(Math.max(value, low), high);
  const lines = [];
  if (point.xl !== null) {
    const [x1, x2] = [within(px(point.xl), left, right), within(px(point.xu), left, right)];
    lines.push(svg("line", { class: "mark", x1, x2, y1: py(point.y), y2: py(point.y) }));
  }
  if (point.yl !== null) {
    const [y1, y2] = [within(py(point.yl), top, bottom), within(py(point.yu), top, bottom)];
    lines.push(svg("line", { class: "mark", x1: px(point.x), x2: px(point.x), y1, y2 }));
  }
  return lines;
}

/**
 * How a composition changes from step to step.
 * @param {object[]} path amounts per element of each step, at%
 * @param {string[]} elements which elements to draw
 */
export function pathChart(path, elements, width) {
  const [w, h] = [Math.max(Math.min(width, 700), 280), 190];
  const [left, right, top, bottom] = [40, 46, 12, 34];
  const changes = elements.map((element) => path.map((step) => (step[element] || 0) - (path[0][element] || 0)));
  const all = changes.flat();
  const [low, high] = [Math.min(...all, -1), Math.max(...all, 1)];
  const px = (step) => left + ((w - left - right) * step) / Math.max(path.length - 1, 1);
  const py = (value) => h - bottom - ((h - top - bottom) * (value - low)) / (high - low);
  const parts = [];
  for (const tick of ticks(low, high, 4)) {
    parts.push(svg("line", { class: tick === 0 ? "axis" : "grid", x1: left, x2: w - right, y1: py(tick), y2: py(tick) }));
    parts.push(svg("text", { x: left - 6, y: py(tick) + 4, "text-anchor": "end" }, tick > 0 ? `+${number(tick)}` : number(tick)));
  }
  const places = [];
  changes.forEach((values, i) => {
    const line = values.map((value, step) => `${px(step)},${py(value)}`).join(" ");
    parts.push(svg("polyline", { class: `path-line c${i % 9}`, points: line }));
    let y = py(values.at(-1)) + 4;
    while (places.some((place) => Math.abs(place - y) < 12)) y += 12;
    places.push(y);
    parts.push(svg("text", { x: w - right + 6, y }, elements[i]));
  });
  parts.push(svg("text", { x: left, y: h - 8 }, "start"));
  parts.push(svg("text", { x: w - right, y: h - 8, "text-anchor": "end" }, `${path.length - 1} steps, change in at%`));
  const words = `Change of each element along ${path.length - 1} steps from the start alloy`;
  return svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": words }, ...parts);
}
