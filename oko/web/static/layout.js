// Justified rows: every row fills the width, all rows are about equally high, every picture keeps its shape.

export const GAP_PX = 4;
const NARROWEST = 0.45; // a picture narrower or wider than this is cropped in the grid, never in the large view
const WIDEST = 3.2;
const ASSUMED = [1.5, 0.75, 1.33, 1.5, 1.33, 0.67, 1.78]; // shapes of photos that are not known yet

/** Width over height of a result, within what a grid can show. */
export function ratioOf(item) {
  const ratio = item?.width_px > 0 && item?.height_px > 0 ? item.width_px / item.height_px : 1;
  return Math.min(WIDEST, Math.max(NARROWEST, ratio));
}

export const assumedRatios = (count) => Array.from({ length: count }, (_, at) => ASSUMED[at % ASSUMED.length]);

/**
 * Boxes {x, y, w, h} for pictures of these ratios, and the height of all rows with a gap below each.
 *
 * The breaks are those with the least sum of squared log(row height / target), found by dynamic programming:
 * unlike filling rows greedily it leaves no ragged row at the end, so that one block of results can be laid
 * out without knowing the next. `isLast`: the last row of all may stay short.
 */
export function justify(ratios, { width, target, gap = GAP_PX, isLast = false }) {
  const rows = breaks(ratios, { width, target, gap, isLast });
  const boxes = [];
  let y = 0;
  for (const [start, end] of rows) {
    const height = rowHeight(ratios, start, end, { width, target, gap, mayStayShort: isLast && end === ratios.length });
    let x = 0;
    for (let at = start; at < end; at++) {
      const w = ratios[at] * height;
      boxes.push({ x, y, w, h: height });
      x += w + gap;
    }
    y += height + gap;
  }
  return { boxes, height: y };
}

function rowHeight(ratios, start, end, { width, target, gap, mayStayShort }) {
  let sum = 0;
  for (let at = start; at < end; at++) sum += ratios[at];
  const full = (width - gap * (end - start - 1)) / sum;
  return mayStayShort && full > target * 1.25 ? target : full;
}

function breaks(ratios, { width, target, gap, isLast }) {
  const count = ratios.length;
  const cost = new Float64Array(count + 1).fill(Infinity);
  const from = new Int32Array(count + 1);
  cost[0] = 0;
  for (let start = 0; start < count; start++) {
    let sum = 0;
    for (let end = start + 1; end <= count; end++) {
      sum += ratios[end - 1];
      const height = (width - gap * (end - start - 1)) / sum;
      const isShort = isLast && end === count && height > target;
      const off = isShort ? 0 : Math.log(Math.max(height, 1) / target);
      const total = cost[start] + off * off;
      if (total < cost[end]) {
        cost[end] = total;
        from[end] = start;
      }
      if (height < target * 0.4) break; // longer rows only get lower
    }
  }
  const rows = [];
  for (let end = count; end > 0; end = from[end]) rows.unshift([from[end], end]);
  return rows;
}
