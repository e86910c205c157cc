// Compositions as amounts per element in at%, in steps of 0.1. No page in here.

const round = (value) => Math.round(value * 10) / 10;

/** A formula, largest amount first. */
export function formulaOf(amounts) {
  return Object.entries(amounts)
    .filter(([, amount]) => round(amount) > 0)
    .sort((a, b) => b[1] - a[1])
    .map(([element, amount]) => `${element}${round(amount)}`)
    .join("");
}

/** The element of largest amount. */
export function majority(amounts) {
  return Object.entries(amounts).reduce((best, entry) => (entry[1] > best[1] ? entry : best), ["", -1])[0];
}

/**
 * Give one element another amount and let the others share the rest in proportion, each within its range.
 * @param {object} amounts at% per element
 * @param {string} element the one that is set
 * @param {number} wanted its new amount; what the others can't make room for is cut off
 * @param {object} ranges element -> [least, most]
 * @returns {object} amounts that sum to 100
 */
export function setAmount(amounts, element, wanted, ranges) {
  const others = Object.keys(amounts).filter((other) => other !== element);
  const range = (name) => ranges[name] || [0, 100];
  const least = others.reduce((sum, name) => sum + Math.min(range(name)[0], amounts[name]), 0);
  const most = others.reduce((sum, name) => sum + Math.max(range(name)[1], amounts[name]), 0);
  const amount = round(Math.min(Math.max(wanted, 0, 100 - most), 100 - least));
  const result = { ...amounts, [element]: amount };
  spread(result, others, 100 - amount, range);
  return tidy(result, element);
}

/** Scale some amounts to a sum; those that meet an end of their range stay there and the others take the rest. */
function spread(amounts, names, sum, range) {
  let free = [...names];
  let left = sum;
  while (free.length) {
    const have = free.reduce((total, name) => total + amounts[name], 0);
    const share = (name) => (have > 0 ? (amounts[name] * left) / have : left / free.length);
    const stuck = free.filter((name) => {
      const [low, high] = range(name);
      return share(name) < Math.min(low, amounts[name]) || share(name) > Math.max(high, amounts[name]);
    });
    if (!stuck.length) {
      const shares = Object.fromEntries(free.map((name) => [name, share(name)]));
      Object.assign(amounts, shares);
      return;
    }
    for (const name of stuck) {
      const [low, high] = range(name);
      const wanted = share(name);
      amounts[name] = wanted > high ? Math.max(high, Math.min(amounts[name], wanted)) : Math.min(low, Math.max(amounts[name], wanted));
      left -= amounts[name];
    }
    free = free.filter((name) => !stuck.includes(name));
  }
}

/** Round to 0.1 at% so that the sum stays 100: the largest other element takes the rounding. */
function tidy(amounts, fixed) {
  const result = Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, round(amount)]));
  const rest = 100 - Object.values(result).reduce((sum, amount) => sum + amount, 0);
  const others = Object.entries(result).filter(([name]) => name !== fixed);
  const takes = majority(Object.fromEntries(others)) || fixed;
  result[takes] = round(result[takes] + rest);
  return result;
}
