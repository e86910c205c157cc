// Start of the page: tabs, theme, key, and the link that reproduces the view.

import { $ } from "./dom.js";
import { onKeyWanted, readKey, writeKey } from "./api.js";
import { loadProblem, problem } from "./problem.js";
import { startAlloy } from "./alloy.js";
import { startCandidates } from "./candidates.js";
import { startDesign } from "./design.js";

const NAMES = ["alloy", "candidates", "design"];
const views = {};
let active = "alloy";

/** The hash says the view and its state: #candidates?base=Zr&sort=-dmax_mm */
function readHash() {
  const [name, query = ""] = location.hash.replace(/^#/, "").split("?");
  return { name: NAMES.includes(name) ? name : "alloy", params: new URLSearchParams(query) };
}

function writeHash(name, params) {
  if (name !== active) return;
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== "" && value !== null));
  const text = query.toString();
  history.replaceState(null, "", `#${name}${text ? `?${text}` : ""}`);
}

function select(name, params = null) {
  active = name;
  for (const other of NAMES) {
    const tab = $(`tab-${other}`);
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
    $(`view-${other}`).hidden = other !== name;
  }
  document.title = `aimat-ray · ${$(`tab-${name}`).textContent}`;
  views[name].open(params);
}

function startTabs() {
  for (const name of NAMES) $(`tab-${name}`).addEventListener("click", () => select(name));
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    const at = NAMES.indexOf(active);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: NAMES.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(NAMES.at(next % NAMES.length));
    $(`tab-${active}`).focus();
  });
  window.addEventListener("hashchange", () => {
    const { name, params } = readHash();
    select(name, params);
  });
}

function startTheme() {
  const names = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };
  const button = $("theme");
  const paint = () => {
    const [sign, words] = names[document.documentElement.dataset.theme || "auto"];
    button.firstElementChild.textContent = sign;
    button.setAttribute("aria-label", `Colours: ${words}`);
    button.title = `Colours: ${words}`;
  };
  button.addEventListener("click", () => {
    const order = ["auto", "light", "dark"];
    const now = order[(order.indexOf(document.documentElement.dataset.theme || "auto") + 1) % 3];
    if (now === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = now;
    try { localStorage.setItem("aimat-theme", now); } catch { /* storage may be switched off */ }
    paint();
  });
  paint();
}

function startKey() {
  const panel = $("key-panel");
  const open = (yes) => {
    panel.hidden = !yes;
    $("key-open").setAttribute("aria-expanded", String(yes));
    if (yes) $("key").focus();
  };
  $("key-open").addEventListener("click", () => open(panel.hidden));
  $("key-open").classList.toggle("has-key", Boolean(readKey()));
  panel.addEventListener("submit", (event) => {
    event.preventDefault();
    writeKey($("key").value.trim());
    $("key").value = "";
    open(false);
    begin();
  });
  $("key-forget").addEventListener("click", () => {
    writeKey("");
    $("key-note").textContent = "No key is kept now.";
  });
  onKeyWanted((sentence) => {
    $("key-note").textContent = sentence;
    open(true);
  });
}

async function begin() {
  $("problem-error").hidden = true;
  try {
    await loadProblem();
  } catch (error) {
    $("problem-error").textContent = error.message;
    $("problem-error").hidden = false;
    return;
  }
  $("title").textContent = problem.title;
  $("synthetic").hidden = !problem.data.synthetic;
  const { name, params } = readHash();
  select(name, params);
}

function openAlloy(formula) {
  select("alloy", new URLSearchParams({ f: formula }));
  $("composition").focus();
}

function openDesign(formula) {
  select("design", new URLSearchParams({ start: formula }));
  $("start").focus();
}

views.alloy = startAlloy({ keep: (params) => writeHash("alloy", params) });
views.candidates = startCandidates({ keep: (params) => writeHash("candidates", params), openAlloy });
views.design = startDesign({ keep: (params) => writeHash("design", params), openAlloy, current: () => views.alloy.formula() });
views.alloy.onImprove(openDesign);
startTabs();
startTheme();
startKey();
begin();
