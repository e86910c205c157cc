// The third view: from an alloy and a goal to better alloys near it.

import { $, el, formulaNodes, number, options, pct, show } from "./dom.js";
import { postJson } from "./api.js";
import { pathChart } from "./charts.js";
import { className, label, longLabel, problem } from "./problem.js";

const KINDS = {
  raise_pct: ["raise by", "%", 5],
  lower_pct: ["lower by", "%", 5],
  keep_pct: ["keep within", "%", 2],
  at_least: ["at least", "", null],
  at_most: ["at most", "", null],
};
const METHODS = {
  auto: "search, and a trained policy if there is one",
  evolution: "evolutionary search",
  greedy: "greedy search",
  local: "local search",
  policy: "trained policy of a finished run",
};

export function startDesign({ keep, openAlloy, current }) {
  const state = { ready: false, asking: null };

  $("add-wish").addEventListener("click", () => {
    addWish();
    $("wishes").lastElementChild.querySelector("select").focus();
  });
  $("design-form").addEventListener("submit", (event) => {
    event.preventDefault();
    design();
  });
  for (const id of ["start", "max-change", "method"]) $(id).addEventListener("change", remember);

  // ------------------------------------------------------------------ the question

  function addWish(quantity = problem.quantities[0].key, kind = "raise_pct", value = null) {
    const number_ = $("wishes").children.length + 1;
    const key = el("select", { "aria-label": `Property of wish ${number_}`, onchange: changed });
    options(key, problem.quantities.map((spec) => [spec.key, longLabel(spec.key)]), quantity);
    const how = el("select", { "aria-label": `What it shall do, wish ${number_}` });
    options(how, Object.entries(KINDS).map(([name, [words, unit]]) => [name, unit ? `${words} …${unit}` : words]), kind);
    const amount = el("input", { type: "number", step: "any", inputmode: "decimal", "aria-label": `Amount of wish ${number_}`, required: true, onchange: changed });
    amount.value = value ?? KINDS[kind][2] ?? "";
    how.addEventListener("change", () => {
      amount.value = KINDS[how.value][2] ?? "";
      changed();
    });
    const row = el("div", { class: "wish" }, key, how, amount);
    row.append(el("button", {
      type: "button", class: "quiet", "aria-label": `Remove wish ${number_}`, onclick: () => {
        row.remove();
        changed();
        $("add-wish").focus();
      },
    }, "×"));
    $("wishes").append(row);
    changed();
  }

  function changed() {
    const cautions = [...new Set(wishes().map((wish) => problem.cautions[wish.quantity]).filter(Boolean))];
    show($("design-caution"), ...cautions.map((text) => el("span", { class: "caution" }, text)));
    remember();
  }

  function wishes() {
    const byKey = {};
    for (const row of $("wishes").children) {
      const [key, kind, amount] = [...row.querySelectorAll("select, input")].map((field) => field.value);
      if (amount === "") continue;
      byKey[key] = { ...byKey[key], quantity: key, [kind]: Number(amount) };
    }
    return Object.values(byKey);
  }

  const goalText = () => [...$("wishes").children]
    .map((row) => [...row.querySelectorAll("select, input")].map((field) => field.value).join("*")).join(",");

  function remember() {
    if (state.ready) keep({ start: $("start").value, goal: goalText(), change: $("max-change").value, method: $("method").value });
  }

  async function design() {
    const error = $("design-error");
    error.textContent = "";
    const asked = wishes();
    if (!asked.length) {
      error.textContent = "Say what should improve: add a wish with an amount.";
      return;
    }
    remember();
    state.asking?.abort();
    const asking = new AbortController();
    state.asking = asking;
    busy(true);
    const body = { start: $("start").value.trim(), wishes: asked, max_change_at_pct: $("max-change").valueAsNumber, method: $("method").value };
    try {
      const answer = await postJson("v1/design", body, { signal: asking.signal });
      if (state.asking === asking) paint(answer);
    } catch (problemFound) {
      if (state.asking !== asking || problemFound.name === "AbortError") return;
      error.textContent = problemFound.message.replace(/^start: /, "");
      $("design-status").textContent = "Nothing was searched.";
      show($("designs"));
    } finally {
      if (state.asking === asking) busy(false);
    }
  }

  function busy(yes) {
    $("design-result").setAttribute("aria-busy", String(yes));
    $("design-go").disabled = yes;
    $("design-go").textContent = yes ? "Searching …" : "Find better alloys";
    if (yes) $("design-status").textContent = "Searching: this takes some seconds.";
  }

  // ------------------------------------------------------------------ the answer

  function paint(answer) {
    const asked = answer.goal.map((bound) => boundWords(bound)).join("; ");
    const cost = `${answer.predictions.toLocaleString("en")} predictions in ${number(answer.seconds)} s by ${answer.surrogate_version}`
      + (answer.policy_run ? `, with the policy of run ${answer.policy_run}` : "");
    const found = answer.designs.length
      ? `${answer.designs.length} of ${answer.n_found} alloys within ${pct(answer.max_change_at_pct)} at% that fulfil: ${asked}.`
      : `No alloy within ${pct(answer.max_change_at_pct)} at% fulfils: ${asked}. Below is what came nearest; ask for less, or allow more change.`;
    $("design-status").textContent = `${found} ${cost}.`;
    const listed = answer.designs.length ? answer.designs : [answer.nearest_miss].filter(Boolean);
    const shown = [...new Set([...answer.goal.map((bound) => bound.quantity), ...problem.quantities.map((spec) => spec.key)])];
    show($("designs"), ...listed.map((alloy, i) => card(alloy, answer, shown, i)));
  }

  function boundWords({ quantity, at_least: least, at_most: most }) {
    const name = problem.byKey[quantity].symbol;
    const unit = problem.byKey[quantity].unit;
    const words = [least !== null ? `≥ ${number(least)}` : "", most !== null ? `≤ ${number(most)}` : ""].filter(Boolean).join(" and ");
    return `${name} ${words}${unit ? ` ${unit}` : ""}`;
  }

  function card(alloy, answer, shown, i) {
    const moves = Object.entries(alloy.moves).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const open = el("button", { type: "button", class: "link formula", onclick: () => openAlloy(alloy.formula) }, ...formulaNodes(alloy.formula));
    const asked = new Set(answer.goal.map((bound) => bound.quantity));
    const others = shown.filter((key) => !asked.has(key));
    const detail = el("details", {}, el("summary", {}, "All properties and the way there"),
      comparison(alloy, answer.start, others, "Other properties before and after"), ...cautions(others),
      el("p", { class: "note" }, `Nearest measured alloy: ${alloy.nearest.formula}, ${pct(alloy.nearest.distance_at_pct)} at% away.`),
      pathTable(alloy));
    return el("article", { class: "found", "aria-label": `Design ${i + 1}` },
      open,
      el("div", { class: "inline-badges" }, ...badges(alloy, answer)),
      el("ul", { class: "changes", "aria-label": "Changes in at%" }, ...moves.map(([element, change]) => el("li", {}, `${element} ${change > 0 ? "+" : "−"}${pct(Math.abs(change))}`))),
      comparison(alloy, answer.start, shown.filter((key) => asked.has(key)), "What was asked for, before and after"),
      overlap(alloy, answer.start, [...asked]), ...cautions([...asked]),
      detail);
  }

  const cautions = (keys) => keys.filter((key) => problem.cautions[key]).map((key) => el("p", { class: "note caution" }, problem.cautions[key]));

  /** Where intervals overlap, the difference is smaller than what the surrogate knows. */
  function overlap(alloy, start, keys) {
    const same = keys.filter((key) => {
      const [before, after] = [start.properties[key], alloy.properties[key]];
      return before.lower !== null && before.lower <= after.upper && after.lower <= before.upper;
    });
    if (!same.length) return null;
    return el("p", { class: "note" }, `The 90 % intervals of start and design overlap in ${same.map((key) => problem.byKey[key].symbol).join(" and ")}: a measurement decides.`);
  }

  function badges(alloy, answer) {
    const p = alloy[problem.feasibility];
    const found = [el("span", { class: `badge ${p >= problem.from ? "good" : "warn"}` }, `${className()} ${Math.round(100 * p)} %`)];
    found.push(el("span", { class: `badge ${alloy.in_domain ? "good" : "warn"}` }, alloy.in_domain ? "inside the domain" : "outside the domain"));
    if (alloy.confirmed !== null) found.push(el("span", { class: `badge ${alloy.confirmed ? "good" : "warn"}` }, alloy.confirmed ? "confirmed by an independent surrogate" : "not confirmed"));
    else if (!answer.judge_version) found.push(el("span", { class: "badge" }, "no second opinion at hand"));
    if (alloy.method) found.push(el("span", { class: "badge" }, alloy.method));
    return found;
  }

  function comparison(alloy, start, keys, caption) {
    const row = (key) => {
      const [before, after] = [start.properties[key], alloy.properties[key]];
      const interval = (value) => (value.lower === null ? null : el("span", { class: "sub" }, `${number(value.lower)}–${number(value.upper)}`));
      const sign = after.difference > 0 ? "+" : "";
      return el("tr", {}, el("th", { scope: "row", class: "text plain" }, label(key)),
        el("td", {}, number(before.value), interval(before)), el("td", {}, number(after.value), interval(after)),
        el("td", {}, `${sign}${number(after.difference)}`),
        el("td", {}, after.judge_difference === null ? "–" : `${after.judge_difference > 0 ? "+" : ""}${number(after.judge_difference)}`));
    };
    const head = ["", "Start", "Design", "Change", "Judge says"].map((name) => el("th", { scope: "col", class: "plain" }, name));
    return el("div", { class: "scroll small" }, el("table", {}, el("caption", { class: "visually-hidden" }, caption),
      el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...keys.map(row))));
  }

  function pathTable(alloy) {
    const path = alloy.path.map((step) => step.at_pct);
    const elements = Object.keys(alloy.moves);
    const rows = alloy.path.map((step, i) => el("tr", {}, el("td", {}, String(i)),
      el("td", { class: "text" }, ...formulaNodes(step.formula)), el("td", { class: "text" }, step.feasible ? "" : "outside the class")));
    return el("div", {}, path.length > 2 && elements.length ? pathChart(path, elements, $("design-result").clientWidth - 40) : null,
      el("div", { class: "scroll small" }, el("table", {}, el("caption", { class: "visually-hidden" }, "Compositions from the start to the design"),
        el("thead", {}, el("tr", {}, ...["Step", "Composition", ""].map((name, i) => el("th", { scope: "col", class: i ? "text plain" : "plain" }, name)))), el("tbody", {}, ...rows))));
  }

  return {
    open(params) {
      if (!state.ready) {
        options($("method"), Object.entries(METHODS), "auto");
        state.ready = true;
      }
      if (params?.get("change")) $("max-change").value = params.get("change");
      if (params?.get("method") in METHODS) $("method").value = params.get("method");
      const goal = (params?.get("goal") || "").split(",").map((part) => part.split("*")).filter((part) => part.length === 3);
      const known = goal.filter(([key, kind]) => problem.byKey[key] && KINDS[kind]);
      if (known.length) show($("wishes"));
      for (const [key, kind, value] of known) addWish(key, kind, value);
      if (!$("wishes").children.length) {
        const keys = problem.quantities.map((spec) => spec.key);
        addWish(keys.includes("yield_strength_mpa") ? "yield_strength_mpa" : keys[0], "raise_pct", 5);
        if (keys.includes("dmax_mm")) addWish("dmax_mm", "keep_pct", 2);
      }
      if (params?.get("start")) $("start").value = params.get("start");
      if (!$("start").value) $("start").value = current().replace("…", "");
      remember();
    },
  };
}
