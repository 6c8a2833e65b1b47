// The elements of rows.
import { timeOfDay } from "../lib/time.js";
import { coloursOf } from "./colours.js";
import { BOLD, ITALIC, STRIKE, UNDERLINE } from "./style.js";

const CLASSES = [
  [BOLD, "bold"],
  [ITALIC, "italic"],
  [UNDERLINE, "underline"],
  [STRIKE, "strike"],
];

/**
 * @param {object} shown
 * @param {{text: string, style: object}[]} shown.spans
 * @param {number} shown.offset of its line
 * @param {number} shown.part 0, or more for what did not fit into one row
 * @param {number | undefined} shown.number of its line; undefined while it is not known
 * @param {boolean} shown.continued whether the line began in a row before
 * @param {boolean} shown.selected
 * @param {RegExp | null} shown.query what to mark
 * @param {string | null | undefined} shown.time to be shown; undefined for no such column
 * @param {{title: string, folded: boolean} | null} shown.fold of a heading
 * @returns {HTMLElement}
 */
export function rowElement(shown) {
  const row = document.createElement("div");
  row.className = shown.selected ? "row selected" : "row";
  if (shown.continued) row.classList.add("continued");
  row.dataset.offset = shown.offset;
  row.dataset.part = shown.part;
  row.append(numberElement(shown));
  if (shown.time !== undefined) row.append(timeElement(shown));
  if (shown.fold) row.append(foldElement(shown.fold));
  const text = document.createElement("span");
  text.className = "text";
  for (const span of marked(shown.spans, shown.query)) text.append(spanElement(span));
  row.append(text);
  return row;
}

/** What stands for rows that are not here yet. */
export function placeholder(height) {
  const element = document.createElement("div");
  element.className = "placeholder";
  element.style.height = `${height}px`;
  return element;
}

function numberElement({ number, offset, continued }) {
  const element = document.createElement(continued ? "span" : "a");
  element.className = "number";
  if (continued) {
    element.textContent = "↪";
    element.ariaHidden = "true";
  } else {
    element.href = `#o${offset}`;
    element.textContent = number === undefined ? "·" : number;
    element.ariaLabel = number === undefined ? `byte ${offset}` : `line ${number}`;
    element.tabIndex = -1;
  }
  return element;
}

function timeElement({ time, continued }) {
  const element = document.createElement("time");
  element.className = "when";
  if (time && !continued) {
    element.dateTime = time;
    element.textContent = timeOfDay(time);
  }
  return element;
}

function foldElement({ title, folded }) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "fold";
  element.textContent = folded ? "▸" : "▾";
  element.ariaExpanded = String(!folded);
  element.ariaLabel = `${folded ? "Unfold" : "Fold"} ${title}`;
  return element;
}

function spanElement({ text, style, match }) {
  if (!match && !style.link && isPlain(style)) return document.createTextNode(text);
  const element = document.createElement(match ? "mark" : style.link ? "a" : "span");
  element.textContent = text;
  for (const [flag, name] of CLASSES) if (style.flags & flag) element.classList.add(name);
  if (match) return element;
  const { color, background } = coloursOf(style);
  if (color) element.style.color = color;
  if (background) element.style.backgroundColor = background;
  if (style.link) {
    element.href = style.link;
    element.target = "_blank";
    element.rel = "noopener noreferrer nofollow";
    element.title = style.link;
  }
  return element;
}

const isPlain = (style) => style.fg === null && style.bg === null && !style.flags;

/** The spans, cut where the query is found; those parts have `match`. */
function marked(spans, query) {
  if (!query) return spans;
  const text = spans.map((span) => span.text).join("");
  const found = [...text.matchAll(query)].filter(([match]) => match);
  if (!found.length) return spans;
  const cut = [];
  let at = 0;
  for (const { text: own, style } of spans) {
    const end = at + own.length;
    let from = at;
    for (const match of found) {
      const [start, stop] = [Math.max(match.index, at), Math.min(match.index + match[0].length, end)];
      if (start >= stop) continue;
      if (start > from) cut.push({ text: text.slice(from, start), style });
      cut.push({ text: text.slice(start, stop), style, match: true });
      from = stop;
    }
    if (from < end) cut.push({ text: text.slice(from, end), style });
    at = end;
  }
  return cut;
}

/** The text of what is selected in these rows; lines that go on in the next row stay one line. */
export function selectedText(layer, selection) {
  const range = selection.getRangeAt(0);
  const parts = [];
  for (const row of layer.querySelectorAll(".row")) {
    const text = row.querySelector(".text");
    if (!range.intersectsNode(text)) continue;
    const part = document.createRange();
    part.selectNodeContents(text);
    if (range.compareBoundaryPoints(Range.START_TO_START, part) > 0)
      part.setStart(range.startContainer, range.startOffset);
    if (range.compareBoundaryPoints(Range.END_TO_END, part) < 0)
      part.setEnd(range.endContainer, range.endOffset);
    if (parts.length && !row.classList.contains("continued")) parts.push("\n");
    parts.push(part.toString());
  }
  return parts.join("");
}
