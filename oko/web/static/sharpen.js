// Thumbnails are small. Where the screen shows more than they hold, the visible ones become previews, once
// scrolling has stopped, two at a time: the server makes each from the file, once.

import { previewUrl } from "./api.js";
import { debounce } from "./dom.js";

const THUMBNAIL_PX = 256; // the longer side, unless the settings say otherwise
const WORTH_IT = 1.2; // a blur below this is hardly seen
const REST_MS = 350;
const AT_ONCE = 2;

export function sharpener(shown) {
  let round = 0;
  const sharpen = debounce(async () => {
    const mine = ++round;
    const queue = shown().filter(isBlurred);
    const work = async () => {
      while (queue.length && mine === round) await one(queue.shift());
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }, REST_MS);
  return () => {
    round++;
    sharpen();
  };
}

function isBlurred({ tile, item }) {
  if (!item || item.missing || tile.dataset.sharp || !tile.classList.contains("loaded")) return false;
  const box = tile.getBoundingClientRect();
  if (box.bottom < 0 || box.top > innerHeight) return false;
  const shown = Math.max(box.width, box.height) * devicePixelRatio;
  return Math.max(item.width_px, item.height_px) > THUMBNAIL_PX && shown > THUMBNAIL_PX * WORTH_IT;
}

async function one({ tile, item }) {
  tile.dataset.sharp = "1";
  const sharp = new Image();
  sharp.src = previewUrl(item, 800);
  try {
    await sharp.decode();
    tile.querySelector("img").src = sharp.src;
  } catch {
    // The thumbnail stays.
  }
}
