// A terminal that never scrolls: from the bytes of a log to rows.
import { Row } from "./row.js";
import { PLAIN, afterSgr, withLink } from "./style.js";

const NEWLINE = 10;
const LONGEST_SEQUENCE = 4096;
const LONGEST_LINK = 2048;
const FURTHEST_COLUMN = 2000;

// Control characters other than the tab end a run of text.
const TEXT = /[^\x00-\x08\x0a-\x1f\x7f-\x9f]+/y;
const CSI = /\x1b\[([0-?]*)[ -/]*([@-~])/y;
const STRING = /\x1b([\]PX^_])([^\x07\x1b\x9c]*)(?:\x07|\x1b\\|\x9c)/y;
const OTHER = /\x1b[ -/]*[0-OQ-WYZ\\`-~]/y;
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c]*\x1b?|[ -/]*)$/y;

const numberOf = (parameters, otherwise) => Number.parseInt(parameters, 10) || otherwise;

/**
 * Rows as a terminal would show them: styles, `\r`, backspaces, and the movements of progress
 * displays. All other escape sequences and control characters are left out. The cursor does not
 * go above the first row.
 */
export class Screen {
  /** Rows from the top. */
  rows = [];
  /** The style of what comes next. */
  style;
  /** Where each line of the log begins: its offset, and the index of its row. */
  lineOffsets = [];
  lineRows = [];
  #decoder = new TextDecoder();
  #unfinished = "";
  #row = 0;
  #bottom = 0; // the lowest row that the cursor has been in
  #column = 0;
  #atLineStart = true;
  #continued;

  /**
   * @param {number} offset in the log of the first byte that it will get
   * @param {{style?: object, continued?: boolean}} [options] how text begins to look; whether the
   *   first line began before
   */
  constructor(offset, { style = PLAIN, continued = false } = {}) {
    this.offset = offset;
    this.style = style;
    this.#continued = continued;
  }

  /** How many lines began, with one that did so before. */
  get lines() {
    return this.lineOffsets.length;
  }

  /** The column that the next character is written to. */
  get column() {
    return this.#column;
  }

  /** Show more bytes, as they follow those before. */
  feed(bytes) {
    let from = 0;
    while (from < bytes.length) {
      if (this.#atLineStart) this.#beginLine(this.offset + from);
      const newline = bytes.indexOf(NEWLINE, from);
      const end = newline < 0 ? bytes.length : newline;
      this.#write(this.#decoder.decode(bytes.subarray(from, end), { stream: newline < 0 }));
      if (newline >= 0) this.#endLine();
      from = end + 1;
    }
    this.offset += bytes.length;
  }

  /** The row that shows the line that a byte is in; null when there is none. */
  rowAt(offset) {
    const line = this.lineAt(offset);
    if (line < 0 || !this.rows.length) return null;
    return Math.min(this.lineRows[line], this.rows.length - 1);
  }

  /** The index of the line that a byte is in; -1 when it is before all of them. */
  lineAt(offset) {
    let low = 0;
    let high = this.lineOffsets.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lineOffsets[middle] <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #beginLine(offset) {
    this.lineOffsets.push(offset);
    this.lineRows.push(this.#row);
    this.#atLineStart = false;
  }

  #endLine() {
    this.#unfinished = "";
    this.#current();
    this.#toRow(this.#row + 1);
    this.#bottom = Math.max(this.#bottom, this.#row);
    this.#column = 0;
    this.#atLineStart = true;
  }

  #current() {
    while (this.rows.length <= this.#row) {
      const continued = this.#continued && this.lines === 1;
      this.rows.push(new Row(this.lineOffsets.at(-1), this.lines - 1, continued));
    }
    return this.rows[this.#row];
  }

  #write(decoded) {
    const text = this.#unfinished + decoded;
    this.#unfinished = "";
    let at = 0;
    const take = (pattern) => {
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (found) at = pattern.lastIndex;
      return found;
    };
    while (at < text.length) {
      const found = take(TEXT);
      if (found) {
        this.#column = this.#current().put(this.#column, found[0], this.style);
      } else if (text[at] !== "\x1b") {
        this.#control(text[at]);
        at += 1;
      } else {
        const sequence = take(CSI);
        if (sequence) this.#move(sequence[2], sequence[1]);
        else {
          const string = take(STRING);
          if (string?.[1] === "]") this.#command(string[2]);
          else if (!string && !take(OTHER)) {
            const start = at;
            const waits = text.length - at < LONGEST_SEQUENCE && take(UNFINISHED);
            if (waits) this.#unfinished = text.slice(start);
            else at += 1;
          }
        }
      }
    }
  }

  #control(character) {
    if (character === "\r") this.#column = 0;
    else if (character === "\b") this.#column = Math.max(this.#column - 1, 0);
  }

  /** A control sequence, `ESC [ parameters final`. */
  #move(final, parameters) {
    const many = Math.min(numberOf(parameters, 1), FURTHEST_COLUMN);
    switch (final) {
      case "m":
        if (/^[\d;:]*$/.test(parameters)) this.style = afterSgr(this.style, parameters);
        break;
      case "A":
      case "F":
        this.#toRow(this.#row - many);
        if (final === "F") this.#column = 0;
        break;
      case "B":
      case "E":
        this.#toRow(Math.min(this.#row + many, this.#bottom));
        if (final === "E") this.#column = 0;
        break;
      case "C":
        this.#column = Math.min(this.#column + many, Math.max(FURTHEST_COLUMN, this.#column));
        break;
      case "D":
        this.#column = Math.max(this.#column - many, 0);
        break;
      case "G":
        this.#column = many - 1;
        break;
      case "K":
        this.#eraseInRow(numberOf(parameters, 0));
        break;
      case "J":
        if (numberOf(parameters, 0) === 0) this.#eraseBelow();
        break;
      default: // What else there is changes nothing that a log shows.
    }
  }

  #toRow(row) {
    this.rows[this.#row]?.settle();
    this.#row = Math.max(row, 0);
  }

  #eraseInRow(how) {
    const row = this.rows[this.#row];
    if (!row) return;
    if (how === 0) row.cut(this.#column);
    else if (how === 1) row.blank(this.#column + 1, this.style);
    else if (how === 2) row.cut(0);
  }

  #eraseBelow() {
    this.rows[this.#row]?.cut(this.#column);
    this.rows.length = Math.min(this.rows.length, this.#row + 1);
    this.#bottom = this.#row;
  }

  /** An operating system command, `ESC ] content`: only that of links has an effect. */
  #command(content) {
    const link = /^8;[^;]*;(.*)$/s.exec(content);
    if (link) this.style = withLink(this.style, safeLink(link[1]));
  }
}

/** An address that may be followed, or null. */
function safeLink(address) {
  if (!/^https?:\/\//i.test(address) || address.length > LONGEST_LINK) return null;
  return URL.canParse(address) ? new URL(address).href : null;
}
