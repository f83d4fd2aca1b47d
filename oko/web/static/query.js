// What the page needs to know of the query language (docs/search.md): where its filters stand in a text.
// The server parses; this only finds the pieces that become chips, and puts pieces in.

const KEYS = ["tag", "folder", "date", "after", "before", "camera", "lens", "type", "size", "ratio", "orientation",
  "near", "has", "is", "dup", "like", "sort"];
const QUOTATION = '"(?:[^"\\\\]|\\\\.)*"|[“„][^”“]*[”“]|«[^»]*»';
const VALUE = `(?:${QUOTATION}|[^\\s",“„«]+)`;
const FILTER = new RegExp(`([-+−]?)(${KEYS.join("|")}):(${VALUE}(?:,${VALUE})*)(?=\\s|$)`, "iy");
const QUOTED = new RegExp(QUOTATION, "y");
const NAMES = { date: "taken", after: "from", before: "until", type: "format", ratio: "shape", like: "like photo",
  sort: "order" };
const WHOLE = {
  "is:favourite": "favourites", "is:untagged": "without tags", "has:gps": "with a place", "dup:no": "no duplicates",
};

/** The filters of a query: [{start, end, key, value, isNegative, label}], in the order of the text. */
export function filtersOf(text) {
  const found = [];
  let at = 0;
  while (at < text.length) {
    if (at > 0 && !/\s/.test(text[at - 1])) {
      at++;
      continue;
    }
    FILTER.lastIndex = QUOTED.lastIndex = at;
    const match = FILTER.exec(text);
    if (match) {
      found.push(filter(match, at));
      at += match[0].length;
    } else at += QUOTED.exec(text)?.[0].length || 1;
  }
  return found;
}

function filter([whole, sign, name, raw], start) {
  const key = name.toLowerCase();
  const value = unquoted(raw);
  const isNegative = sign === "-" || sign === "−";
  const known = WHOLE[`${key}:${value}`.toLowerCase()];
  const label = known ?? `${NAMES[key] ?? key}: ${value}`;
  return { start, end: start + whole.length, key, value, isNegative, label: isNegative ? `not ${label}` : label };
}

// A list stays as it is written; one value loses its quotes.
const unquoted = (raw) =>
  /^["“„«]/.test(raw) && !raw.slice(1, -1).includes('",') ? raw.slice(1, -1).replace(/\\(["\\])/g, "$1") : raw;

/** A value as the language wants it: in quotes where it has spaces or signs of its own. */
export const quoted = (value) =>
  /^[\p{L}\p{N}_./~@-]+$/u.test(value) ? value : `"${value.replace(/[\\"]/g, "\\$&")}"`;

export const written = (key, value) => `${key}:${quoted(String(value))}`;

/** The text without the piece from start to end, and without the gap it leaves. */
export const without = (text, { start, end }) =>
  `${text.slice(0, start).trimEnd()} ${text.slice(end).trimStart()}`.trim();

/** The text with a filter set: one of the same key is replaced, null takes it out. */
export function withFilter(text, key, value) {
  const rest = filtersOf(text).filter((f) => f.key === key && !f.isNegative).reverse().reduce(without, text);
  return value === null || value === "" ? rest : `${rest} ${written(key, value)}`.trim();
}

/** Whether anything is looked for besides filters: only then is there a best match. */
export function hasWords(text) {
  const filters = filtersOf(text).reverse();
  return filters.some((f) => f.key === "like") || filters.reduce(without, text).trim() !== "";
}
