// What each key does, in the grid and in the large view.

import { byId } from "./dom.js";
import { startKeyboard } from "./keyboard.js";

/** Bind the keys to an App. */
export function bindKeys(app) {
  startKeyboard({
    search: () => app.box.focus(),
    help: () => byId("help-panel").showModal(),
    grid: gridKeys(app),
    viewer: viewerKeys(app.viewer),
  });
}

function gridKeys(app) {
  const { grid } = app;
  const isInside = () => byId("grid").contains(document.activeElement);
  // The first arrow enters the grid where it was left; the next ones move.
  const move = (next) => () => (app.results?.total ? void grid.focus(isInside() ? next() : grid.active) : false);
  const onPhoto = (act) => () => (isInside() ? void act(grid.active) : false);
  return {
    ArrowLeft: move(() => grid.active - 1),
    ArrowRight: move(() => grid.active + 1),
    ArrowUp: move(() => grid.vertical(grid.active, -1)),
    ArrowDown: move(() => grid.vertical(grid.active, 1)),
    Home: onPhoto(() => grid.focus(0)),
    End: onPhoto(() => grid.focus(app.results.total - 1)),
    f: onPhoto((index) => app.toggleFavourite(index)),
    m: onPhoto((index) => app.results.at(index) && app.searchFrom({ like: app.results.at(index).id })),
    "-": () => byId("smaller").click(),
    "+": () => byId("larger").click(),
    "=": () => byId("larger").click(),
  };
}

function viewerKeys(viewer) {
  const first = (state) => () => {
    const name = viewer.tags.firstSuggested;
    if (name) viewer.tags.decide(name, state);
  };
  return {
    ArrowLeft: () => viewer.move(-1),
    ArrowRight: () => viewer.move(1),
    "Shift+ArrowLeft": () => viewer.stage.pan(-1, 0),
    "Shift+ArrowRight": () => viewer.stage.pan(1, 0),
    "Shift+ArrowUp": () => viewer.stage.pan(0, -1),
    "Shift+ArrowDown": () => viewer.stage.pan(0, 1),
    f: () => viewer.toggleFavourite(),
    a: first("confirmed"),
    x: first("rejected"),
    t: () => viewer.addTag(),
    i: () => viewer.toggleDetails(),
    m: () => viewer.moreLikeThis(),
    "+": () => viewer.stage.step(1),
    "=": () => viewer.stage.step(1),
    "-": () => viewer.stage.step(-1),
    0: () => viewer.stage.step(0),
  };
}
