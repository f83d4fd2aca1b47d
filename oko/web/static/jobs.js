// Work that the server does in the background: indexing and tagging, followed through server-sent events.

import * as api from "./api.js";

const ASK_AGAIN_MS = 15_000; // jobs begun elsewhere (a terminal, the watcher) are noticed this late at most

export class Jobs {
  #events = null;
  job = null;

  /** `events`: onChange(job), onEnd(job). */
  constructor(events) {
    this.events = events;
  }

  /** Follow what is running already, now and whenever something is begun elsewhere. */
  start() {
    const look = async () => {
      if (!document.hidden && !this.#events) await this.#look().catch(() => null);
      setTimeout(look, ASK_AGAIN_MS);
    };
    look();
    // A browser has six connections to a server, for all tabs together: one that nobody looks at must not hold one.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#let();
      else if (!this.#events) this.#look().catch(() => null);
    });
  }

  get isRunning() {
    return Boolean(this.job?.running);
  }

  /** Begin a job. Raises ApiError: 409 while another writes. */
  async begin(kind) {
    const { job } = await api.startJob(kind);
    this.#follow(job);
  }

  /** Ask the running job to end; what it has done is kept. */
  async stop() {
    if (this.isRunning) await api.stopJob(this.job.id);
  }

  async #look() {
    const { jobs } = await api.jobs();
    const running = jobs.find((job) => job.running && job.kind !== "watch");
    if (running) this.#follow(running);
    else if (this.isRunning) this.#over({ ...(jobs.find((job) => job.id === this.job.id) ?? this.job), running: false });
  }

  #let() {
    this.#events?.close();
    this.#events = null;
  }

  #follow(job) {
    this.#set(job);
    this.#let();
    const source = (this.#events = new EventSource(api.jobEventsUrl(job.id)));
    source.addEventListener("progress", (event) => this.#set({ ...this.job, ...read(event) }));
    for (const name of ["done", "failed"]) {
      source.addEventListener(name, (event) => this.#end(source, { ...this.job, ...read(event), running: false }));
    }
    source.addEventListener("error", () => {
      // The browser connects again by itself, unless the server said no.
      if (source.readyState === EventSource.CLOSED) this.#end(source, { ...this.job, running: false });
    });
  }

  #set(job) {
    this.job = job;
    this.events.onChange(job);
  }

  #end(source, job) {
    source.close();
    this.#events = null;
    this.#over(job);
  }

  #over(job) {
    this.#set(job);
    this.events.onEnd(job);
  }
}

function read(event) {
  try {
    const found = JSON.parse(event.data);
    return found.job ?? found;
  } catch {
    return {};
  }
}
