// While photos in the order of time fly past, the month that one is at.

import { byId, debounce, show } from "./dom.js";
import { monthOf } from "./texts.js";

export function dateBubble() {
  const box = byId("bubble");
  const hide = debounce(() => box.classList.remove("on"), 900);
  return (item, isByDate) => {
    const month = isByDate && scrollY > 200 ? monthOf(item?.taken_at) : "";
    if (!month) return;
    box.textContent = month;
    show(box, true);
    box.classList.add("on");
    hide();
  };
}
