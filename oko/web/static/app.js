// The page: the address says what is shown, and this wires the parts together.

import * as address from "./address.js";
import * as api from "./api.js";
import { Bar } from "./bar.js";
import { dateBubble } from "./bubble.js";
import { byId, debounce } from "./dom.js";
import { startDrop } from "./drop.js";
import { Explore } from "./explore.js";
import { FilterPanel } from "./filters.js";
import { Grid } from "./grid.js";
import { Jobs } from "./jobs.js";
import { buildHelp } from "./keyboard.js";
import { bindKeys } from "./keys.js";
import { LibraryPanel } from "./library.js";
import { hasWords, written } from "./query.js";
import { Reach } from "./reach.js";
import { Results } from "./results.js";
import { say, sayError } from "./say.js";
import { SearchBox } from "./searchbox.js";
import { sharpener } from "./sharpen.js";
import * as states from "./states.js";
import { found } from "./texts.js";
import { startTheme } from "./theme.js";
import { Viewer } from "./viewer.js";

const NOTHING = { q: "", picture: "", sort: "", all: "" }; // every photo

class App {
  shown = null; // the state that was asked for last
  drawn = null; // the state whose results are in the grid
  results = null;
  #asking = 0;
  #upload = null; // of the picture handed in last
  #isLeaving = false; // the way back from a photo has been asked for, and not come yet

  constructor() {
    this.sharpen = sharpener(() => this.grid.shown());
    this.bubble = dateBubble();
    this.grid = new Grid(byId("grid"), {
      hrefOf: (item) => address.hrefOf({ ...this.drawn, photo: item.id }),
      onScroll: (index) => this.#scrolled(index),
      onFailure: (error) => this.#failure(error),
      onRender: () => this.sharpen(),
    });
    this.box = new SearchBox({
      onSearch: (question) => this.go({ ...question, sort: "", all: "" }),
      onPicture: (file) => this.searchPicture(file),
    });
    this.bar = new Bar({
      onQuery: (q) => this.go({ q }),
      onSort: (sort) => this.go({ sort: sort === Bar.defaultSort(address.current()) ? "" : sort }),
      onCut: () => this.go({ all: "" }),
      onSize: (target) => this.grid.resize(target),
    });
    this.filters = new FilterPanel({ onQuery: (q) => this.go({ q }) });
    this.explore = new Explore({ hrefOf: address.hrefOf });
    this.viewer = new Viewer({
      onClose: () => this.closePhoto(),
      onMove: (id, index) => this.#moveTo(id, index),
      onOpen: (id) => this.#moveTo(id, this.results?.indexOf(id) ?? -1),
      onChange: (id, fields) => this.#photoChanged(id, fields),
      onSearch: (wanted) => this.searchFrom(wanted),
      onError: sayError,
      say,
    });
    this.jobs = new Jobs({ onChange: (job) => this.library.showJob(job), onEnd: (job) => this.#jobEnded(job) });
    this.library = new LibraryPanel(this.jobs, { onError: sayError });
    this.reach = new Reach();
    this.rememberPlace = debounce(() => this.#rememberPlace(), 250);
  }

  start() {
    history.scrollRestoration = "manual"; // the grid knows better, and pictures come late
    startTheme();
    buildHelp();
    this.bar.start();
    this.#listen();
    startDrop({ onPicture: (file) => this.searchPicture(file), onRefused: (text) => say(text, { isError: true }) });
    bindKeys(this);
    addEventListener("popstate", () => {
      this.#isLeaving = false;
      this.route();
    });
    this.route();
    this.jobs.start();
  }

  /** Show other results: what is not named stays as it is. */
  go(changes) {
    const state = { ...address.current(), photo: "", ...changes };
    this.viewer.close();
    this.#rememberPlace();
    if (!address.sameResults(state, address.current()) || address.current().photo) address.push(state);
    this.shown = null;
    this.route();
  }

  /** Bring the page to what the address says. */
  async route() {
    const state = address.current();
    this.box.set(state);
    this.bar.showQuestion(state);
    if (!this.shown || !address.sameResults(state, this.shown)) await this.#load(state);
    const now = address.current(); // somebody may have gone on while the results were on their way
    if (!address.sameResults(state, now)) return;
    if (now.photo) this.#showPhoto(now.photo);
    else this.#showGrid();
  }

  async #load(state) {
    const number = ++this.#asking;
    this.shown = state;
    this.results?.close();
    states.loading(true);
    const question = { q: state.q, picture: state.picture, sort: state.sort, all: state.all ? "true" : "" };
    const onBlock = (block) => {
      if (results !== this.results) return;
      this.grid.blockArrived(block);
      this.bar.showCount(results);
      this.#drawBelow(results); // of a large library it is counted only at the end
    };
    const results = new Results(question, { onBlock });
    try {
      await results.start();
      if (number !== this.#asking) return;
      this.reach.found();
      this.box.showProblem(null);
      this.results = results;
      this.#drawResults(state, results);
    } catch (error) {
      if (number !== this.#asking || api.isAbort(error)) return;
      this.#loadFailed(state, error);
    } finally {
      if (number === this.#asking) states.loading(false);
    }
  }

  #drawResults(state, results) {
    states.nothing();
    const tagged = results.tagged && { ...results.tagged, onTag: () => this.go({ q: results.tagged.query }) };
    states.notes(results.total ? results.notes : [], results.total ? tagged : null);
    this.bar.showCount(results);
    this.drawn = state;
    this.grid.show(results, address.memory().place ?? null);
    const isPlain = !state.q && !state.picture;
    this.explore.show(isPlain && results.total > 0);
    this.#drawBelow(results);
    if (results.total === 0 && isPlain) states.emptyLibrary({ onLibrary: () => this.library.open() });
    else if (results.total === 0) {
      const isFiltered = state.q !== "" && !hasWords(state.q);
      const [onAll, onClear] = [() => this.go({ all: "1" }), () => this.go(NOTHING)];
      states.nothingFound({ isFiltered, cut: results.cut, tagged, why: results.notes.join(" "), onAll, onClear });
    }
    say(results.total ? `${found(results)} found` : "No photo found");
    document.title = state.q ? `${state.q} – oko` : "oko";
  }

  #drawBelow({ total, cut }) {
    states.below({ total, cut, onAll: () => this.go({ all: "1" }) });
  }

  #loadFailed(state, error) {
    this.shown = null;
    if (error.isGone) return this.#failure(error);
    const isQuery = error.status === 400;
    this.box.showProblem(isQuery ? error : null);
    if (isQuery) {
      if (!this.results?.total) states.nothing(); // why another question found nothing
      return say(error.message);
    }
    this.results = this.drawn = null;
    this.grid.show(new Results({}, { onBlock: () => {} }));
    this.bar.clearCount();
    states.below({ total: 0, cut: 0 });
    this.explore.show(false);
    if (error.status === 404 && !state.picture) return states.emptyLibrary({ onLibrary: () => this.library.open() });
    states.failed(error, { onRetry: () => this.route() });
    say(error.message);
  }

  // One photo

  #showPhoto(id) {
    const memo = address.memory();
    const known = this.results?.at(memo.index ?? -1)?.id;
    const index = String(known) === id ? memo.index : (this.results?.indexOf(Number(id)) ?? -1);
    this.viewer.open(Number(id), { results: this.results, index });
    if (index < 0 && memo.index >= 0) this.#fetchPlace(id, memo.index);
  }

  /** After a reload only the first photos are here: fetch those around the open one, so that it has a next. */
  async #fetchPlace(id, index) {
    const results = this.results;
    const item = await results?.fetchAt(index).catch(() => null);
    if (!item || String(item.id) !== id || results !== this.results || address.current().photo !== id) return;
    this.viewer.open(item.id, { results, index });
  }

  openPhoto(index) {
    const item = this.results?.at(index);
    if (!item) return;
    this.grid.active = index;
    this.#rememberPlace();
    address.push({ ...address.current(), photo: item.id }, { ...address.memory(), index, opened: true });
    this.route();
  }

  #moveTo(id, index) {
    address.replace({ ...address.current(), photo: id }, { ...address.memory(), index });
    this.route();
  }

  closePhoto() {
    if (this.#isLeaving) return; // a second Escape must not go back twice
    if (address.memory().opened) {
      this.#isLeaving = true;
      history.back();
    } else {
      address.replace({ ...address.current(), photo: "" });
      this.route();
    }
  }

  #showGrid() {
    if (this.viewer.id === null) return;
    const index = this.viewer.index;
    this.viewer.close();
    if (index >= 0) this.grid.focus(index);
  }

  searchFrom({ like, tag, query }) {
    this.go({ q: like ? `like:${like}` : (query ?? written("tag", tag)), picture: "", sort: "", all: "" });
    scrollTo({ top: 0, behavior: "instant" });
  }

  #photoChanged(id, fields) {
    const index = this.results?.patch(id, fields) ?? -1;
    if (index >= 0) this.grid.photoChanged(index);
    this.explore.forget();
  }

  async toggleFavourite(index) {
    const item = this.results?.at(index);
    if (!item) return;
    const favourite = !item.favourite;
    this.#photoChanged(item.id, { favourite });
    try {
      await api.setFavourite(item.id, favourite);
      say(favourite ? "Added to favourites" : "Removed from favourites");
    } catch (error) {
      this.#photoChanged(item.id, { favourite: !favourite });
      sayError(error);
    }
  }

  // A picture to search with

  async searchPicture(file) {
    // Words that were searched for belong to the last question; words just typed, to this one.
    const q = this.box.isFresh ? this.box.input.value.trim() : "";
    states.loading(true);
    this.#upload?.abort(); // or the first answer, come late, would take the place of the second
    this.#upload = new AbortController();
    try {
      const { picture } = await api.uploadPicture(file, this.#upload);
      this.box.showPicture(picture, file);
      this.go({ q, picture, sort: "", all: "" });
      this.box.input.focus({ preventScroll: true });
    } catch (error) {
      if (api.isAbort(error)) return;
      states.loading(false);
      sayError(error);
    }
  }

  // The server, and what it works on

  #failure(error) {
    if (!error.isGone) return sayError(error);
    say(error.message);
    this.reach.lost(() => {
      this.shown = null;
      this.route();
    });
  }

  #jobEnded(job) {
    this.library.refresh();
    this.explore.forget();
    const isAtTop = scrollY < 300 && !this.viewer.isOpen;
    const reload = () => {
      this.shown = null;
      this.route();
    };
    if (job.error) say(job.error, { isError: true });
    else if (job.kind === "generate") say(job.message);
    else if (isAtTop) reload();
    else say("The library has changed.", { action: { label: "Show", run: reload } });
  }

  // Small things

  #scrolled(index) {
    this.rememberPlace();
    this.bubble(this.results?.at(index), ["newest", "oldest"].includes(byId("sort").value));
  }

  #rememberPlace() {
    // While other results are on their way the grid still shows the old ones: their place is not this entry's.
    if (!this.results || !this.drawn || this.viewer.isOpen) return;
    if (!address.sameResults(this.drawn, address.current())) return;
    const place = scrollY > 40 ? this.grid.place() : null;
    address.replace(address.current(), { ...address.memory(), place });
  }

  #listen() {
    byId("grid").addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (!tile) return;
      const index = Number(tile.dataset.index);
      if (event.target.closest(".star")) this.toggleFavourite(index);
      else if (!event.ctrlKey && !event.metaKey && !event.shiftKey) {
        event.preventDefault();
        this.openPhoto(index);
      }
    });
    byId("grid").addEventListener("focusin", (event) => {
      const index = event.target.closest(".tile")?.dataset.index;
      if (index !== undefined) this.grid.active = Number(index);
    });
    byId("explore").addEventListener("click", (event) => {
      const way = event.target.closest("a");
      if (!way || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.go({ q: way.dataset.q, sort: "" });
    });
    byId("brand").addEventListener("click", (event) => {
      event.preventDefault();
      this.go(NOTHING);
    });
    byId("help").addEventListener("click", () => byId("help-panel").showModal());
    byId("filters").addEventListener("click", () => this.filters.open(this.box.input.value.trim()));
    for (const dialog of document.querySelectorAll("dialog.panel")) {
      dialog.querySelector(".close").addEventListener("click", () => dialog.close());
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    }
  }
}

new App().start();
