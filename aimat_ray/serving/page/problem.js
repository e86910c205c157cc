// What the service designs, asked for once, and windows of bases, asked for once each.

import { getJson } from "./api.js";

export const problem = { quantities: [], byKey: {}, bases: [], data: null, feasibility: "p", from: 0.5, cautions: {} };
const details = new Map();

/** Load the problem and the list of bases. */
export async function loadProblem() {
  const [document, bases] = await Promise.all([getJson("v1/problem"), getJson("v1/bases")]);
  problem.quantities = [...document.properties, ...document.derived];
  problem.derived = new Set(document.derived.map((spec) => spec.key));
  problem.byKey = Object.fromEntries(problem.quantities.map((spec) => [spec.key, spec]));
  problem.title = document.title;
  problem.feasibility = document.feasibility;
  problem.from = document.feasible_from;
  problem.cautions = document.cautions;
  problem.elements = document.elements;
  problem.bases = bases.bases;
  problem.data = bases;
  return problem;
}

/** Window, example, goal and distributions of a base. */
export function baseDetails(base) {
  if (!details.has(base)) {
    const asked = getJson(`v1/bases/${encodeURIComponent(base)}`);
    asked.catch(() => details.delete(base));
    details.set(base, asked);
  }
  return details.get(base);
}

export const knownBase = (base) => problem.bases.some((item) => item.base === base);

/** Name of the feasible class: "BMG". */
export const className = () => problem.feasibility.replace(/^p_/, "").toUpperCase();

/** "Dmax (mm)". */
export function label(key) {
  if (key === problem.feasibility) return `P(${className()})`;
  const spec = problem.byKey[key];
  return spec ? `${spec.symbol}${spec.unit ? ` (${spec.unit})` : ""}` : key;
}

/** "critical casting diameter Dmax", for lists to choose from. */
export function longLabel(key) {
  const spec = problem.byKey[key];
  return spec ? `${spec.symbol} · ${spec.label}${spec.unit ? `, ${spec.unit}` : ""}` : label(key);
}

export const REASONS = {
  inside: "Measured alloys of this kind are near.",
  unseen_element: "It holds an element that no measured alloy has.",
  too_far: "It is far from every measured alloy.",
  few_systems: "Too few measured chemical systems have this majority element.",
  no_measured_neighbour: "Most properties have no measured value nearby.",
};
