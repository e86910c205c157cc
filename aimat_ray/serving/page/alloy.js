// The first view: a composition by formula or sliders, and everything the service says about it.

import { $, debounced, el, formulaNodes, number, options, pct, show } from "./dom.js";
import { postJson } from "./api.js";
import { histogram, shareBelow } from "./charts.js";
import { formulaOf, majority, setAmount } from "./composition.js";
import { baseDetails, className, knownBase, longLabel, problem, REASONS } from "./problem.js";

const N_NEAREST = 5;

export function startAlloy({ keep }) {
  const state = { amounts: {}, base: null, details: null, asking: null };
  let improve = () => {};

  $("formula-form").addEventListener("submit", (event) => {
    event.preventDefault();
    askFormula($("formula").value.trim());
  });
  $("base").addEventListener("change", () => openBase($("base").value));
  $("add").addEventListener("click", addElement);
  $("copy-link").addEventListener("click", copyLink);
  $("improve").addEventListener("click", () => improve($("composition").textContent));
  const askSoon = debounced(90, () => ask(state.amounts));

  async function openBase(base) {
    const details = await guarded(() => baseDetails(base));
    if (!details) return;
    Object.assign(state, { base, details });
    take(details.example);
    await ask(state.amounts);
  }

  async function askFormula(formula) {
    if (!formula) return fail("Type a formula, for example Zr65Cu17.5Ni10Al7.5.");
    const found = await ask(formula);
    if (!found) return undefined;
    const base = majority(found.at_pct);
    if (base !== state.base && knownBase(base)) {
      const details = await guarded(() => baseDetails(base));
      if (details) Object.assign(state, { base, details });
      paintResult(found);
    }
    take(found.at_pct, false);
    return undefined;
  }

  /** Ask the service about a formula or about amounts; the newest question wins. */
  async function ask(alloy) {
    state.asking?.abort();
    const asking = new AbortController();
    state.asking = asking;
    $("alloy-result").setAttribute("aria-busy", "true");
    const answer = await guarded(() => postJson("v1/predict", { alloys: alloy, nearest: N_NEAREST }, { signal: asking.signal }));
    if (state.asking !== asking) return null;
    $("alloy-result").setAttribute("aria-busy", "false");
    if (!answer) return null;
    fail("");
    const [found] = answer.predictions;
    $("version").textContent = answer.surrogate_version;
    $("version").title = "Version of the surrogate that answered";
    $("version").hidden = false;
    $("made-by").textContent = `Predicted by surrogate ${answer.surrogate_version}.`;
    paintResult(found);
    keep({ f: found.composition });
    return found;
  }

  async function guarded(call) {
    try {
      return await call();
    } catch (error) {
      if (error.name !== "AbortError") {
        $("alloy-result").setAttribute("aria-busy", "false");
        fail(error.message.replace(/^alloys\[0\]: /, ""));
      }
      return null;
    }
  }

  function fail(message) {
    $("formula-error").textContent = message;
    $("formula").setAttribute("aria-invalid", String(Boolean(message)));
  }

  // ------------------------------------------------------------------ sliders

  const ranges = () => Object.fromEntries((state.details?.elements || []).map((r) => [r.element, [r.lower_at_pct, r.upper_at_pct]]));

  function take(amounts, writeFormula = true) {
    const known = ranges();
    // the order of the window, then what is not in it
    const order = [...Object.keys(known), ...Object.keys(amounts)];
    const names = [...new Set(order)].filter((name) => name in amounts);
    state.amounts = Object.fromEntries(names.map((name) => [name, amounts[name]]));
    if (writeFormula) $("formula").value = formulaOf(state.amounts);
    if (state.base) $("base").value = state.base;
    paintSliders();
  }

  function paintSliders() {
    const known = ranges();
    show($("sliders"), ...Object.keys(state.amounts).map((element) => slider(element, known[element])));
    const left = Object.keys(known).filter((element) => !(element in state.amounts));
    options($("add-element"), left.map((element) => [element, `${element} (up to ${pct(known[element][1])})`]));
    $("add").disabled = $("add-element").disabled = !left.length;
    paintNote();
  }

  function paintNote() {
    const known = ranges();
    const outside = Object.entries(state.amounts).filter(([element, amount]) => !inRange(amount, known[element]));
    const most = state.details?.max_elements || 99;
    const notes = outside.map(([element]) => (known[element]
      ? `${pct(state.amounts[element])} at% ${element} is outside the ${state.base} window (${pct(known[element][0])} to ${pct(known[element][1])}).`
      : `${element} does not occur in the ${state.base} window.`));
    const n = Object.keys(state.amounts).length;
    if (n > most) notes.push(`Measured ${state.base} alloys have ${most} elements at most.`);
    $("window-note").textContent = notes.join(" ");
    for (const row of $("sliders").children) {
      row.classList.toggle("outside", outside.some(([element]) => element === row.dataset.element));
    }
  }

  const inRange = (amount, range) => Boolean(range) && amount >= range[0] - 0.051 && amount <= range[1] + 0.051;

  function slider(element, range) {
    const [least, most] = range || [0, 100];
    const amount = state.amounts[element];
    const [low, high] = [Math.min(least, amount), Math.max(most, amount)].map((value) => Math.round(value * 10) / 10);
    const set = (value) => {
      if (!Number.isFinite(value)) return;
      state.amounts = setAmount(state.amounts, element, value, ranges());
      refresh();
    };
    const bar = el("input", {
      type: "range", id: `slider-${element}`, min: low, max: high, step: 0.1, value: amount,
      "aria-label": `${element}, at%`, oninput: (event) => set(Number(event.target.value)),
    });
    const box = el("input", {
      type: "number", min: low, max: high, step: 0.1, value: pct(amount), inputmode: "decimal",
      "aria-label": `${element}, at%, as a number`, onchange: (event) => set(event.target.valueAsNumber),
    });
    const remove = el("button", {
      type: "button", class: "quiet", "aria-label": `Remove ${element}`, title: `Remove ${element}`,
      disabled: Object.keys(state.amounts).length < 2, onclick: () => removeElement(element),
    }, "×");
    const ends = el("div", { class: "ends", "aria-hidden": "true" }, el("span", {}, pct(low)), el("span", {}, pct(high)));
    return el("div", { class: "slider", "data-element": element },
      el("label", { class: "symbol", for: `slider-${element}` }, element), el("div", {}, bar, ends), box, remove);
  }

  /** Write the amounts into the sliders that are there: replacing them would end the drag. */
  function refresh() {
    for (const row of $("sliders").children) {
      const [bar, box] = row.querySelectorAll("input");
      bar.value = state.amounts[row.dataset.element];
      if (box !== document.activeElement || Number(box.value) !== state.amounts[row.dataset.element]) {
        box.value = pct(state.amounts[row.dataset.element]);
      }
    }
    $("formula").value = formulaOf(state.amounts);
    paintNote();
    askSoon();
  }

  function addElement() {
    const element = $("add-element").value;
    if (!element) return;
    const [least, most] = ranges()[element];
    state.amounts = setAmount({ ...state.amounts, [element]: 0 }, element, Math.min(Math.max(least, 2), most), ranges());
    paintSliders();
    refresh();
    $(`slider-${element}`).focus();
  }

  function removeElement(element) {
    const { [element]: gone, ...rest } = setAmount(state.amounts, element, 0, ranges());
    const sum = Object.values(rest).reduce((total, amount) => total + amount, 0);
    state.amounts = Object.fromEntries(Object.entries(rest).map(([name, amount]) => [name, (amount * 100) / sum]));
    paintSliders();
    refresh();
    $("add-element").focus();
  }

  async function copyLink() {
    const button = $("copy-link");
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy it from the address bar";
    }
    setTimeout(() => { button.textContent = "Copy link"; }, 2500);
  }

  // ------------------------------------------------------------------ result

  function paintResult(found) {
    show($("composition"), ...formulaNodes(found.composition));
    show($("verdicts"), classVerdict(found), domainVerdict(found));
    paintSummary(found);
    show($("legend"),
      el("span", {}, el("i", { class: "swatch all" }), "measured alloys"),
      state.base ? el("span", {}, el("i", { class: "swatch base" }), `those of ${state.base}`) : null,
      el("span", {}, el("i", { class: "swatch band" }), "90 % interval of the prediction"));
    show($("properties"), ...problem.quantities.map((spec) => propertyRow(spec, estimateOf(spec, found))));
    show($("nearest"), ...found.nearest.map((near) => el("li", {},
      el("button", { type: "button", class: "link", onclick: () => openFormula(near.formula) }, ...formulaNodes(near.formula)),
      el("span", { class: "muted" }, `${pct(near.distance_at_pct)} at% away`))));
    $("improve").disabled = false;
  }

  /** What changes while a slider moves, beside the sliders: on a phone the rest is further down. */
  function paintSummary(found) {
    const asked = (state.details?.goal || []).map((bound) => bound.quantity);
    const keys = [...new Set([...asked, ...problem.quantities.map((spec) => spec.key)])].slice(0, 3);
    const values = keys.map((key) => {
      const [spec, estimate] = [problem.byKey[key], estimateOf(problem.byKey[key], found)];
      return estimate && el("span", {}, `${spec.symbol} ${number(estimate.value)}${spec.unit ? ` ${spec.unit}` : ""}`);
    });
    show($("summary"), el("b", {}, `${className()} ${Math.round(100 * found[problem.feasibility])} %`), ...values,
      found.in_domain ? null : el("span", { class: "caution" }, "outside the domain"));
  }

  function openFormula(formula) {
    $("formula").value = formula;
    askFormula(formula);
    $("composition").focus();
  }

  function classVerdict(found) {
    const p = found[problem.feasibility];
    const good = p >= problem.from;
    const bar = el("span");
    bar.style.width = `${Math.round(100 * p)}%`;
    // Outside the domain a green verdict would be taken for an answer.
    const kind = found.in_domain ? (good ? "good" : "bad") : "open";
    const words = found.in_domain ? `${good ? "Likely" : "Unlikely"} ${className()}` : `${className()}, if the surrogate were right`;
    return el("div", { class: `verdict ${kind}` },
      el("b", {}, `${words}: ${Math.round(100 * p)} %`),
      el("div", { class: "meter", "aria-hidden": "true" }, bar),
      el("small", {}, `Probability of the class. From ${100 * problem.from} % on, an alloy counts as feasible.`));
  }

  function domainVerdict(found) {
    const reason = REASONS[found.domain_reason] || found.domain_reason;
    return el("div", { class: `verdict ${found.in_domain ? "good" : "warn"}`, id: "domain" },
      el("b", {}, found.in_domain ? "Inside the domain" : "Outside the domain: don't rely on this"),
      el("small", {}, reason));
  }

  function estimateOf(spec, found) {
    if (found.properties[spec.key]) return found.properties[spec.key];
    // a ratio of two properties; its interval is not told
    const [top, bottom] = spec.symbol.split("/").map((symbol) => problem.quantities.find((other) => other.symbol === symbol));
    if (!top || !bottom) return null;
    return { value: found.properties[top.key].value / found.properties[bottom.key].value, lower: null, upper: null };
  }

  function propertyRow(spec, estimate) {
    if (!estimate) return null;
    const distribution = state.details?.distributions.find((item) => item.quantity === spec.key);
    const unit = spec.unit ? ` ${spec.unit}` : "";
    const interval = estimate.lower === null ? "" : `${number(estimate.lower)} to ${number(estimate.upper)}${unit}`;
    const share = distribution ? `above ${Math.round(100 * shareBelow(distribution, estimate.value))} % of ${distribution.n} measured` : "";
    const words = `${spec.label} ${number(estimate.value)}${unit}${interval && `, 90 % interval ${interval}`}${share && `, ${share} alloys`}`;
    const caution = problem.cautions[spec.key];
    return el("div", { class: "property", "data-key": spec.key },
      el("div", {},
        el("div", { class: "name" }, longLabel(spec.key).split(",")[0]),
        el("div", { class: "value" }, number(estimate.value), unit && el("small", {}, unit)),
        interval && el("div", { class: "range" }, interval),
        share && el("div", { class: "range" }, share)),
      histogram(distribution, estimate, words),
      caution ? el("p", { class: "caution" }, caution) : null);
  }

  return {
    formula: () => $("composition").textContent,
    onImprove: (call) => { improve = call; },
    open(params) {
      options($("base"), problem.bases.map((item) => [item.base, `${item.base} (${item.n_rows} measured)`]), state.base);
      const formula = params?.get("f");
      if (formula) {
        $("formula").value = formula;
        askFormula(formula);
      } else if (params && !state.base && problem.bases.length) {
        openBase(problem.bases[0].base);
      } else if (state.base) {
        keep({ f: $("composition").textContent });
      } else if (problem.bases.length) {
        openBase(problem.bases[0].base);
      }
    },
  };
}
