// Rows that are wider than the window, cut into slices that are not.
import { charactersOf } from "./row.js";

const TAB = 8;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1faff}\u{20000}-\u{3fffd}]/u;

const known = new WeakMap(); // row → {version, width, slices}

/** Into how many slices of `width` columns a row is cut; at least one. */
export function countSlices(row, width) {
  if (row.simple) return Math.max(Math.ceil(row.length / width), 1);
  if (row.length * TAB <= width) return 1;
  return cutWalking(row, width).length;
}

/** The spans of one slice of a row. */
export function sliceOf(row, width, index) {
  if (row.simple) {
    return row.length <= width ? row.spans : cutSimple(row.spans, index * width, (index + 1) * width);
  }
  return cutWalking(row, width)[index] ?? [];
}

/** How many columns the text of a row takes. */
export function columnsOf(row) {
  if (row.simple) return row.length;
  let column = 0;
  for (const character of charactersOf(row.text)) column += widthOf(character, column);
  return column;
}

function cutSimple(spans, from, to) {
  const found = [];
  let at = 0;
  for (const { text, style } of spans) {
    const part = text.slice(Math.max(from - at, 0), Math.max(to - at, 0));
    if (part) found.push({ text: part, style });
    at += text.length;
    if (at >= to) break;
  }
  return found;
}

function cutWalking(row, width) {
  const before = known.get(row);
  if (before?.version === row.version && before.width === width) return before.slices;
  const slices = [[]];
  let column = 0;
  for (const { text, style } of row.spans) {
    for (const character of charactersOf(text)) {
      const wide = widthOf(character, column);
      if (column + wide > width && column > 0) {
        slices.push([]);
        column = 0;
      }
      const slice = slices.at(-1);
      if (slice.at(-1)?.style === style) slice.at(-1).text += character;
      else slice.push({ text: character, style });
      column += wide;
    }
  }
  known.set(row, { version: row.version, width, slices });
  return slices;
}

function widthOf(character, column) {
  if (character === "\t") return TAB - (column % TAB);
  return WIDE.test(character) ? 2 : 1;
}
