// The state of the page is its address, so that back, forward, reload and a bookmark work.

const NAMES = ["q", "sort", "all", "picture", "photo"];

/** {q, sort, all, picture, photo} of the address bar; "" where nothing is said. */
export function current() {
  const parameters = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.map((name) => [name, parameters.get(name) ?? ""]));
}

/** The address of a state. */
export function hrefOf(state) {
  const parameters = new URLSearchParams();
  for (const name of NAMES) if (state[name]) parameters.set(name, state[name]);
  const text = parameters.toString();
  return text ? `/?${text}` : "/";
}

/** Go to a state; `memo` comes back in `memory()` when this entry is visited again. */
export function push(state, memo = {}) {
  history.pushState(memo, "", hrefOf(state));
}

export function replace(state, memo = memory()) {
  history.replaceState(memo, "", hrefOf(state));
}

export const memory = () => history.state ?? {};

/** Whether two states show the same results; the open photo does not count. */
export const sameResults = (a, b) => ["q", "sort", "all", "picture"].every((name) => a[name] === b[name]);
