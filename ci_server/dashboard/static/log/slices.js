// Rows that are wider than the window, cut into slices that are not.
import { charactersOf } from "./row.js";

const TAB = 8;
const MOST_SPANS = 128; // in a slice, so that a long line of many colours is not too many elements
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1faff}\u{20000}-\u{3fffd}]/u;

const known = new WeakMap(); // row → {version, width, slices}

/** Into how many slices of `width` columns a row is cut; at least one. */
export function countSlices(row, width) {
  if (isEven(row)) return Math.max(Math.ceil(row.length / width), 1);
  if (row.length * TAB <= width && row.length <= MOST_SPANS) return 1;
  return cutWalking(row, width).length;
}

/** The spans of one slice of a row. */
export function sliceOf(row, width, index) {
  if (isEven(row)) {
    return row.length <= width ? row.spans : cutSimple(row.spans, index * width, (index + 1) * width);
  }
  return cutWalking(row, width)[index] ?? [];
}

/** How many columns the text of a row takes, where it is cut after `width` of them. */
export function columnsOf(row, width) {
  if (row.simple) return Math.min(row.length, width);
  return countSlices(row, width) > 1 ? width : columnsIn(charactersOf(row.text));
}

/**
 * Where a character of a row is.
 * @returns {{index: number, column: number}} the slice, and the column in it
 */
export function placeIn(row, width, character) {
  if (isEven(row)) {
    const index = Math.min(Math.floor(character / width), countSlices(row, width) - 1);
    return { index, column: character - index * width };
  }
  let before = 0;
  const slices = cutWalking(row, width);
  for (const [index, slice] of slices.entries()) {
    const characters = slice.flatMap(({ text }) => charactersOf(text));
    const isHere = character < before + characters.length || index === slices.length - 1;
    if (isHere) return { index, column: columnsIn(characters.slice(0, character - before)) };
    before += characters.length;
  }
  return { index: 0, column: 0 };
}

/** How many characters of a row are before one of its slices. */
export function charactersBefore(row, width, index) {
  if (isEven(row)) return index * width;
  const spans = cutWalking(row, width).slice(0, index).flat();
  return spans.reduce((sum, { text }) => sum + charactersOf(text).length, 0);
}

/** Whether each character takes one column, and the colours do not matter. */
const isEven = (row) =>
  row.simple && (row.length <= MOST_SPANS || row.spans.length <= MOST_SPANS);

const columnsIn = (characters) =>
  characters.reduce((column, character) => column + widthOf(character, column), 0);

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
      const last = slices.at(-1);
      const isFull = last.length === MOST_SPANS && last.at(-1).style !== style;
      if ((column + wide > width && column > 0) || isFull) {
        slices.push([]);
        column = 0;
      }
      const slice = slices.at(-1);
      if (slice.at(-1)?.style === style) slice.at(-1).text += character;
      else slice.push({ text: character, style });
      column += widthOf(character, column); // of a tab that begins a slice, another than before
    }
  }
  known.set(row, { version: row.version, width, slices });
  return slices;
}

function widthOf(character, column) {
  if (character === "\t") return TAB - (column % TAB);
  return WIDE.test(character) ? 2 : 1;
}
