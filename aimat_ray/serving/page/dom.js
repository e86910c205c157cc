// Building blocks of the page. Text only ever enters through text nodes and attributes, never as markup.

export const $ = (id) => document.getElementById(id);

/** An HTML element: el("p", {class: "note", onclick: f}, "text", child). Properties of value null are left out. */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element, in the same way. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Replace the contents of a node. */
export function show(node, ...children) {
  node.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

/** Options of a select from [value, label] pairs. */
export function options(select, pairs, chosen) {
  show(select, ...pairs.map(([value, label]) => el("option", { value, selected: value === chosen }, label)));
}

/** A formula with its amounts as subscripts; lines may break between elements. */
export function formulaNodes(formula) {
  return formula.split(/(\d+(?:\.\d+)?)/).filter(Boolean)
    .flatMap((part) => (/^\d/.test(part) ? [el("sub", {}, part), el("wbr")] : [document.createTextNode(part)]));
}

/** A value with as many decimals as its size makes sensible; an en dash where there is none. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
  return (text.includes(".") ? text.replace(/\.?0+$/, "") : text).replace(/^-/, "−");
}

/** A percentage of atoms with one decimal at most. */
export const pct = (value) => String(Math.round(value * 10) / 10);

/** Call a function once the calls stop for some time. */
export function debounced(wait, call) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...args), wait);
  };
}
