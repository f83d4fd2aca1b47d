// The panel about the library: what it holds, its folders, and the work that is going on.

import * as api from "./api.js";
import { byId, h, icon, show } from "./dom.js";
import { ago, bytes, count, duration, plural } from "./texts.js";

const PRESENCES = {
  there: "", absent: "not there right now", empty: "empty right now: is its drive connected?",
  unreadable: "cannot be read", suspicious: "much of it is gone: is its drive connected?",
};
const DOING = { index: "Indexing", tag: "Suggesting tags", generate: "Painting" };

export class LibraryPanel {
  /** `events`: onError(error). `jobs`: a Jobs. */
  constructor(jobs, events) {
    this.jobs = jobs;
    this.events = events;
    this.dialog = byId("library-panel");
    byId("library").addEventListener("click", () => this.open());
    byId("index-now").addEventListener("click", () => this.#begin("index"));
    byId("tag-now").addEventListener("click", () => this.#begin("tag"));
    byId("job-stop").addEventListener("click", () => this.jobs.stop().catch(this.events.onError));
  }

  async open() {
    this.dialog.showModal();
    this.showJob(this.jobs.job);
    await this.refresh();
  }

  async refresh() {
    if (!this.dialog.open) return;
    try {
      this.#draw(await api.status());
    } catch (error) {
      byId("library-facts").replaceChildren(h("p", { class: "bad" }, error.message));
    }
  }

  /** A job, as it goes; null: none. */
  showJob(job) {
    const running = Boolean(job?.running);
    const share = running && job.total > 0 ? Math.min(1, job.done / job.total) : null;
    const button = byId("library");
    button.classList.toggle("working", running);
    button.style.setProperty("--share", String(share ?? 0.15));
    const percent = share === null ? "" : `, ${Math.floor(share * 100)} %`;
    const label = running ? `Library: ${DOING[job.kind] ?? "working"}${percent}` : "Library";
    button.title = label;
    button.setAttribute("aria-label", label);
    for (const id of ["index-now", "tag-now"]) byId(id).disabled = running && job.kind !== "generate";
    show(byId("job"), Boolean(job));
    if (job) this.#drawJob(job, share);
  }

  #drawJob(job, share) {
    const bar = byId("job-bar");
    show(bar, job.running);
    show(byId("job-stop"), job.running);
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
    byId("job-title").textContent = job.message || DOING[job.kind];
    const parts = [job.error];
    if (job.running && job.total > 0) parts.push(`${count(job.done ?? 0)} of ${count(job.total)}`);
    const rate = job.photos_per_s ?? 0;
    if (job.running && rate > 0) parts.push(`${rate.toFixed(rate < 10 ? 1 : 0)} photos/s`);
    if (job.running && job.left_s > 0) parts.push(`${duration(job.left_s)} left`);
    const sketch = byId("job-sketch");
    show(sketch, Boolean(job.sketched));
    if (job.sketched) sketch.src = api.sketchUrl(job);
    byId("job-text").textContent = parts.filter(Boolean).join(" · ");
  }

  async #begin(kind) {
    try {
      await this.jobs.begin(kind);
    } catch (error) {
      this.events.onError(error);
    }
  }

  #draw(status) {
    const { photos, files, disk, last_run: run } = status;
    const bad = (files.unreadable ?? 0) + (files.failed ?? 0);
    const away = photos.total - photos.on_disk;
    const facts = [
      ["Photos", count(photos.total) + (away > 0 ? ` (${count(away)} not on disk)` : "")],
      ["Model", status.model ?? "chosen when the first folder is indexed"],
      ["Library folder", status.library_folder],
      ["Space it takes", bytes(disk.total_bytes)],
      ["Last run", run ? `${ago(run.started_at)}: ${run.sentence || run.state}` : "none yet"],
      bad > 0 && ["Could not be read", `${plural(bad, "file")}; which and why: oko status --problems`],
      status.writer && ["Writing now", status.writer.purpose ?? "another process"],
    ];
    byId("library-facts").replaceChildren(h("dl", {},
      ...facts.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
    byId("library-folders").replaceChildren(...status.folders.map(folderRow));
    show(byId("no-folders"), status.folders.length === 0);
  }
}

function folderRow(folder) {
  const trouble = PRESENCES[folder.presence] ?? "";
  const facts = [plural(folder.files, "file"), folder.missing_files > 0 && `${count(folder.missing_files)} missing`,
    folder.scanned_at && `looked at ${ago(folder.scanned_at)}`];
  return h("li", {}, icon("folder"),
    h("div", {}, h("span", { class: "file" }, folder.path),
      h("span", { class: "more" }, facts.filter(Boolean).join(" · ")),
      trouble && h("span", { class: "bad" }, icon("triangle-alert"), trouble)));
}
