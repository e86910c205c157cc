// The second view: candidates of finished runs as a table and a picture, with filters and CSV.

import { $, debounced, el, formulaNodes, number, options, pct, show } from "./dom.js";
import { download, getJson } from "./api.js";
import { scatter } from "./charts.js";
import { label, longLabel, problem } from "./problem.js";

const LIMIT = 200;

export function startCandidates({ keep, openAlloy }) {
  const state = { sort: "rank", rows: [], total: 0, chosen: null, runs: [], asking: null, ready: false };
  const filters = { base: "filter-base", run: "filter-run", key: "filter-key", min: "filter-min", max: "filter-max" };

  $("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["base", "run", "key"]) $(filters[name]).addEventListener("change", () => load());
  $("filter-confirmed").addEventListener("change", () => load());
  const soon = debounced(250, () => load());
  for (const name of ["min", "max"]) $(filters[name]).addEventListener("input", soon);
  for (const id of ["axis-x", "axis-y"]) $(id).addEventListener("change", () => { paintScatter(); remember(); });
  $("csv").addEventListener("click", saveCsv);
  window.addEventListener("resize", debounced(150, () => { if (!$("view-candidates").hidden) paintScatter(); }));

  function query() {
    const key = $("filter-key").value;
    const asked = { base: $("filter-base").value, run: $("filter-run").value, sort: state.sort };
    if ($("filter-confirmed").checked) asked.confirmed = "true";
    if ($("filter-min").value !== "") asked[`min_${key}`] = $("filter-min").value;
    if ($("filter-max").value !== "") asked[`max_${key}`] = $("filter-max").value;
    return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== ""));
  }

  function remember() {
    const values = Object.fromEntries(Object.entries(filters).map(([name, id]) => [name, $(id).value]));
    if (values.min === "" && values.max === "") delete values.key;
    const confirmed = $("filter-confirmed").checked ? "1" : "";
    keep({ ...values, confirmed, sort: state.sort === "rank" ? "" : state.sort, x: $("axis-x").value, y: $("axis-y").value });
  }

  async function load() {
    state.asking?.abort();
    const asking = new AbortController();
    state.asking = asking;
    remember();
    const status = $("candidates-status");
    try {
      const answer = await getJson("v1/candidates", { ...query(), limit: LIMIT }, { signal: asking.signal });
      state.rows = answer.candidates;
      state.total = answer.n_total;
    } catch (error) {
      if (error.name === "AbortError") return;
      state.rows = [];
      state.total = 0;
      status.textContent = error.message;
      paint();
      return;
    }
    status.textContent = words();
    paint();
  }

  function words() {
    if (!state.runs.length) return "There are no finished runs yet. A run appears here when it ends.";
    if (!state.total) return "No candidate passes these filters.";
    const confirmed = state.rows.filter((row) => row.confirmed).length;
    const shown = state.total > state.rows.length ? `the first ${state.rows.length} of ${state.total} candidates` : `${state.total} candidates`;
    const runs = new Set(state.rows.map((row) => row.run_id)).size;
    return `${shown[0].toUpperCase()}${shown.slice(1)} from ${runs} ${runs === 1 ? "run" : "runs"}; ${confirmed} confirmed by an independent surrogate.`;
  }

  async function saveCsv() {
    try {
      await download("v1/candidates", { ...query(), limit: "1000", format: "csv" }, "candidates.csv");
    } catch (error) {
      $("candidates-status").textContent = error.message;
    }
  }

  // ------------------------------------------------------------------ table

  const columns = () => [
    { key: "rank", name: "Rank" },
    { key: "base", name: "Base", text: true },
    { key: problem.feasibility, name: label(problem.feasibility) },
    { key: "confirmed", name: "Confirmed", text: true },
    ...problem.quantities.map((spec) => ({ key: spec.key, name: label(spec.key), property: true, title: spec.label })),
    { key: "nearest_distance_at_pct", name: "Nearest measured", text: true },
    { key: "run_id", name: "Run", text: true },
  ];

  function paint() {
    $("candidates-found").hidden = !state.rows.length;
    $("csv").disabled = !state.rows.length;
    paintTable();
    paintScatter();
    const cautions = problem.quantities.filter((spec) => problem.cautions[spec.key]).map((spec) => problem.cautions[spec.key]);
    show($("candidates-caution"), ...cautions.map((text) => el("span", { class: "caution" }, text)));
  }

  function paintTable() {
    const head = el("tr", {}, el("th", { scope: "col", class: "formula-cell text" }, el("button", { type: "button", disabled: true }, "Alloy, at%")),
      ...columns().map(heading));
    show($("candidates").querySelector("thead"), head);
    show($("candidates").querySelector("tbody"), ...state.rows.map(tableRow));
  }

  function heading(column) {
    const by = state.sort.replace(/^-/, "");
    const order = by === column.key ? (state.sort.startsWith("-") ? "descending" : "ascending") : "none";
    const arrow = { none: "", ascending: " ↑", descending: " ↓" }[order];
    const sort = () => {
      const first = column.property || ["confirmed", problem.feasibility].includes(column.key) ? `-${column.key}` : column.key;
      const other = first.startsWith("-") ? column.key : `-${column.key}`;
      state.sort = state.sort === first ? other : first;
      load().then(() => document.querySelector(`th[data-key="${CSS.escape(column.key)}"] button`)?.focus());
    };
    return el("th", { scope: "col", "aria-sort": order, "data-key": column.key, class: column.text ? "text" : null, title: column.title },
      el("button", { type: "button", onclick: sort }, column.name + arrow));
  }

  function tableRow(row) {
    const cells = {
      rank: String(row.rank), base: row.base || "–", [problem.feasibility]: number(row[problem.feasibility]), run_id: row.run_id,
      confirmed: el("span", { class: row.confirmed ? "yes" : "no" }, row.confirmed ? "✓ yes" : "no"),
      nearest_distance_at_pct: row.nearest ? `${row.nearest.formula}, ${pct(row.nearest.distance_at_pct)} at%` : "–",
    };
    const open = el("button", { type: "button", class: "link", onclick: () => openAlloy(row.formula) }, ...formulaNodes(row.formula));
    const line = el("tr", { class: row === state.chosen ? "chosen" : null },
      el("td", { class: "formula-cell" }, open),
      ...columns().map((column) => el("td", { class: column.text ? "text" : null }, ...(column.property ? estimate(row.properties[column.key]) : [cells[column.key]]))));
    line.addEventListener("mouseenter", () => choose(row, false));
    open.addEventListener("focus", () => choose(row, false));
    return line;
  }

  function estimate(value) {
    const parts = [number(value.value)];
    if (value.lower !== null) parts.push(el("span", { class: "sub" }, `${number(value.lower)}–${number(value.upper)}`));
    return parts;
  }

  // ------------------------------------------------------------------ picture

  function paintScatter() {
    const [x, y] = [$("axis-x").value, $("axis-y").value];
    const known = state.rows.filter((row) => row.properties[x]?.value !== null && row.properties[y]?.value !== null);
    $("scatter-note").textContent = known.length ? pointWords() : "No candidate has both values.";
    if (!known.length) return show($("scatter"));
    const points = known.map((row) => ({
      x: row.properties[x].value, xl: row.properties[x].lower, xu: row.properties[x].upper,
      y: row.properties[y].value, yl: row.properties[y].lower, yu: row.properties[y].upper,
      filled: Boolean(row.confirmed), chosen: row === state.chosen, title: row.formula, choose: () => choose(row, true),
    }));
    return show($("scatter"), scatter(points, label(x), label(y), $("scatter").clientWidth || 700));
  }

  function pointWords() {
    const kinds = "Filled: an independent surrogate agrees; hollow: it does not.";
    if (!state.chosen) return `${kinds} Choose a point to see its intervals.`;
    const [x, y] = [$("axis-x").value, $("axis-y").value];
    const told = [x, y].map((key) => `${label(key)} ${number(state.chosen.properties[key].value)}`).join(", ");
    return `${state.chosen.formula}: ${told}; the lines are its 90 % intervals. ${kinds}`;
  }

  function choose(row, scroll) {
    if (state.chosen === row && !scroll) return;
    state.chosen = row;
    const lines = $("candidates").querySelectorAll("tbody tr");
    state.rows.forEach((other, i) => lines[i].classList.toggle("chosen", other === row));
    if (scroll) lines[state.rows.indexOf(row)].scrollIntoView({ block: "nearest" });
    paintScatter();
  }

  async function prepare(params) {
    const runs = await getJson("v1/runs").catch(() => ({ runs: [] }));
    state.runs = runs.runs;
    const bases = [...new Set([...problem.bases.map((item) => item.base)])];
    const given = (name, otherwise = "") => params?.get(name) ?? otherwise;
    const now = (id) => (state.ready && !params ? $(id).value : null);
    options($("filter-base"), [["", "all"], ...bases.map((base) => [base, base])], now("filter-base") ?? given("base"));
    options($("filter-run"), [["", "all"], ...state.runs.map((run) => [run.run_id, `${run.name} (${run.n_candidates})`])], now("filter-run") ?? given("run"));
    const quantities = problem.quantities.map((spec) => [spec.key, longLabel(spec.key)]);
    const keys = problem.quantities.map((spec) => spec.key);
    const preferred = ["dmax_mm", "yield_strength_mpa"].map((key, i) => (keys.includes(key) ? key : keys[i]));
    options($("filter-key"), quantities, now("filter-key") ?? given("key", preferred[0]));
    options($("axis-x"), quantities, now("axis-x") ?? given("x", preferred[0]));
    options($("axis-y"), quantities, now("axis-y") ?? given("y", preferred[1]));
    if (!state.ready || params) {
      $("filter-min").value = given("min");
      $("filter-max").value = given("max");
      $("filter-confirmed").checked = given("confirmed") === "1";
      state.sort = given("sort", "rank");
    }
    state.ready = true;
  }

  return {
    async open(params) {
      await prepare(params && [...params.keys()].length ? params : state.ready ? null : params);
      await load();
    },
  };
}
