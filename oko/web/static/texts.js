// Numbers, dates, sizes and paths as people read them.

const whole = new Intl.NumberFormat();

export const count = (n) => whole.format(n);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** How many photos answer, as far as it is known. */
export const found = ({ total, isCounted }) => `${isCounted ? "" : "more than "}${plural(total, "photo")}`;

/** The last part of a path, of whatever system it comes from. */
export const fileName = (path) => String(path).split(/[\\/]/).pop() || String(path);

/** The folder of a path. */
export const folderOf = (path) => String(path).slice(0, -fileName(path).length).replace(/(.)[\\/]$/, "$1");

// The hour on the camera's clock is what people remember, so offsets are shown but never applied.
function wallClock(taken) {
  const found = /^(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?/.exec(taken ?? "");
  if (!found) return null;
  const [, year, month, day, hour, minute, second] = found;
  const date = new Date(Date.UTC(2000, Number(month ?? 1) - 1, Number(day ?? 1), Number(hour ?? 0),
    Number(minute ?? 0), Number(second ?? 0)));
  date.setUTCFullYear(Number(year));
  return { date, hasTime: hour !== undefined };
}

function formatted(taken, options) {
  const clock = wallClock(taken);
  return clock ? new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options }).format(clock.date) : "";
}

export const dayOf = (taken) => formatted(taken, { dateStyle: "long" });
export const monthOf = (taken) => formatted(taken, { month: "long", year: "numeric" });
export const weekdayAndTime = (taken) =>
  wallClock(taken)?.hasTime
    ? formatted(taken, { weekday: "long", hour: "2-digit", minute: "2-digit" })
    : formatted(taken, { weekday: "long" });

export function bytes(n) {
  if (!(n >= 0)) return "";
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; n >= 1000 && at < units.length - 1; at++) n /= 1000;
  return `${at ? n.toFixed(n < 10 ? 1 : 0) : n} ${units[at]}`;
}

export const megapixels = (width, height) => {
  const millions = (width * height) / 1e6;
  return `${millions < 10 ? millions.toFixed(1) : Math.round(millions)} megapixels`;
};

/** A position as maps write it: 49.19506° N, 16.60684° E. */
export function position(latitude, longitude) {
  const one = (value, [positive, negative]) => `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`;
  return `${one(latitude, "NS")}, ${one(longitude, "EW")}`;
}

/** Seconds as "40 s", "12 min" or "3 h 5 min". */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How long ago an ISO moment was. */
export function ago(moment) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 90) return "just now";
  const [unit, size] = seconds < 5400 ? ["minute", 60] : seconds < 129_600 ? ["hour", 3600] : ["day", 86_400];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.round(seconds / size), unit);
}
