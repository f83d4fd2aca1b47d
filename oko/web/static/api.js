// The HTTP API of `oko serve`, one function a route. Every failure is an ApiError.

/** What went wrong, in words for people. `status` 0: no answer at all. `start`, `end`: the place in a query. */
export class ApiError extends Error {
  constructor(status, message, { hint = "", start = null, end = null } = {}) {
    super(message);
    this.status = status;
    this.hint = hint;
    this.start = start;
    this.end = end;
  }

  get isGone() {
    return this.status === 0;
  }
}

export const isAbort = (error) => error?.name === "AbortError";

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(`/api${path}`, { credentials: "same-origin", ...options });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(0, "The oko server does not answer.");
  }
  const body = await readJson(response);
  if (response.ok) return body;
  const told = body?.error ?? {};
  const message = told.message ?? `The server answered ${response.status} ${response.statusText}`.trim();
  throw new ApiError(response.status, message, told);
}

async function readJson(response) {
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    return null; // a proxy's HTML page, say: the status says enough
  }
}

const sendJson = (path, method, body) =>
  request(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** The address of parameters; empty ones are left out. */
export function withParameters(path, parameters) {
  const wanted = Object.entries(parameters).filter(([, v]) => v !== "" && v !== null && v !== undefined && v !== false);
  const text = new URLSearchParams(wanted).toString();
  return text ? `${path}?${text}` : path;
}

export const health = () => request("/health");
export const status = () => request("/status");
export const search = (question, { offset, limit, signal }) =>
  request(withParameters("/search", { ...question, offset: String(offset), limit: String(limit) }), { signal });
export const suggestions = (q, { limit = 8, signal } = {}) =>
  request(withParameters("/suggestions", { q, limit }), { signal });
export const tags = () => request("/tags");
export const folders = () => request("/folders");

export function uploadPicture(file, { signal } = {}) {
  const body = new FormData();
  body.append("file", file);
  return request("/pictures", { method: "POST", body, signal });
}

const photoPath = (id) => `/photos/${encodeURIComponent(id)}`;
// With the version of the content in it, an address never shows another picture and is kept for good.
export const thumbnailUrl = ({ id, version }) => withParameters(`/api${photoPath(id)}/thumbnail`, { v: version });
export const previewUrl = ({ id, version }, size) =>
  withParameters(`/api${photoPath(id)}/preview`, { size, v: version });
export const photo = (id, { signal } = {}) => request(photoPath(id), { signal });
export const duplicatesOf = (id, { signal } = {}) => request(`${photoPath(id)}/duplicates`, { signal });
export const setFavourite = (id, favourite) => sendJson(`${photoPath(id)}/favourite`, "PUT", { favourite });

const tagPath = (id, name) => `${photoPath(id)}/tags/${encodeURIComponent(name)}`;
/** `state` is "confirmed" or "rejected"; null takes the decision back. */
export const decideTag = (id, name, state) =>
  state === null
    ? request(tagPath(id, name), { method: "DELETE" })
    : sendJson(tagPath(id, name), "PUT", { state });

export const startJob = (kind) => sendJson("/jobs", "POST", { kind });
export const stopJob = (id) => request(`/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
export const jobs = () => request("/jobs");
/** The picture so far of a job that paints; another address for each step, so that none is kept. */
export const sketchUrl = ({ id, sketched }) =>
  withParameters(`/api/jobs/${encodeURIComponent(id)}/picture`, { step: sketched });
export const jobEventsUrl = (id) => `/api/jobs/${encodeURIComponent(id)}/events`;
