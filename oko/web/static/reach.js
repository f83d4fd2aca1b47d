// Whether the server answers. While it does not, a strip says so, and it is asked again every few seconds.

import * as api from "./api.js";
import * as states from "./states.js";

const ASK_AGAIN_MS = 3000;

export class Reach {
  #timer = 0;

  /** The server is away; `onBack` is called when it answers again. */
  lost(onBack) {
    const look = async () => {
      try {
        await api.health();
      } catch {
        return;
      }
      this.found();
      onBack();
    };
    states.gone(true, look);
    this.#timer ||= setInterval(look, ASK_AGAIN_MS);
  }

  found() {
    clearInterval(this.#timer);
    this.#timer = 0;
    states.gone(false);
  }
}
