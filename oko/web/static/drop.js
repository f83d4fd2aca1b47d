// A picture to search with: dropped anywhere on the page, pasted, or chosen with the button.

import { byId, show } from "./dom.js";

/** `onPicture(file)`; `onRefused(text)` for what is no picture. */
export function startDrop({ onPicture, onRefused }) {
  let depth = 0; // dragenter and dragleave come for every element on the way
  const overlay = byId("drop");
  const close = () => {
    depth = 0;
    show(overlay, false);
  };
  addEventListener("dragenter", (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    depth++;
    show(overlay, true);
  });
  addEventListener("dragover", (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("dragleave", (event) => {
    if (bringsFiles(event) && --depth <= 0) close();
  });
  addEventListener("drop", (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault(); // or the browser leaves the page for the picture
    close();
    take(event.dataTransfer.files, { onPicture, onRefused });
  });
  addEventListener("paste", (event) => {
    const files = event.clipboardData?.files ?? [];
    if (!files.length) return;
    event.preventDefault();
    take(files, { onPicture, onRefused });
  });
}

const bringsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function take(files, { onPicture, onRefused }) {
  // Browsers do not know the type of HEIC and RAW files: the server decides about those.
  const picture = [...files].find((file) => file.type === "" || file.type.startsWith("image/"));
  if (picture) onPicture(picture);
  else onRefused("That is not a picture.");
}
