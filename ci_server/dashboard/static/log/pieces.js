// The rows of a log, piece by piece.
//
// A piece has the lines that begin in it, and so may need bytes of the next one. A line that fills
// a whole piece is broken where that piece begins: no line is longer than two pieces.
import { PIECE_BYTES } from "./bytes.js";
import { Screen } from "./screen.js";
import { PLAIN } from "./style.js";

const NEWLINE = 10;
const LOOKED_BACK = 32 << 10; // for how text looks after a jump
const MOST_KEPT = 24;
const MOST_ROWS = 60_000;

/** The lines that begin in one piece. */
class Piece {
  /**
   * @param {number} start the offset of its first line
   * @param {boolean} continued whether that line began in the piece before
   * @param {number} newlinesBefore between the beginning of the piece's bytes and `start`
   */
  constructor(start, continued, newlinesBefore, style) {
    this.start = start;
    this.newlinesBefore = newlinesBefore;
    this.screen = new Screen(start, { style, continued });
  }

  get rows() {
    return this.screen.rows;
  }
}

export class LogPieces {
  #bytes;
  #kept = new Map(); // piece number → Piece, the least recently used first

  constructor(bytes) {
    this.#bytes = bytes;
  }

  /**
   * The piece's rows as of now, or null: then `needed` says what has to be loaded.
   * @returns {Piece | null}
   */
  get(piece) {
    if (this.needed(piece).length) return null;
    const [start, newlinesBefore, continued] = this.#start(piece);
    const [end] = this.#start(piece + 1);
    let kept = this.#kept.get(piece);
    if (kept && (kept.start !== start || kept.screen.offset > end)) kept = null;
    kept ??= new Piece(start, continued, newlinesBefore, this.#styleBefore(piece, start));
    this.#kept.delete(piece);
    this.#kept.set(piece, kept);
    if (kept.screen.offset < end) kept.screen.feed(this.#between(kept.screen.offset, end));
    this.#forgetOld();
    return kept;
  }

  /**
   * Where a byte of a piece that is here is drawn.
   * @returns {{at: number, row: Row | undefined, character: number}} the index of its row, the row
   *   if there is any, and how many of the row's characters are before it
   */
  cell(piece, offset) {
    const { rows, screen } = this.get(piece);
    const at = screen.rowAt(offset);
    if (at === null) return { at: 0, row: rows[0], character: 0 };
    const start = screen.lineOffsets[screen.lineAt(offset)];
    const replayed = new Screen(start);
    replayed.feed(this.#between(start, Math.min(offset, screen.offset)));
    return { at, row: rows[at], character: replayed.column };
  }

  /** The piece's rows if they are known without any work, perhaps not the newest; or undefined. */
  known(piece) {
    return this.#kept.get(piece);
  }

  /** The piece with the line that a byte is in, and its rows as of `get`. */
  around(offset) {
    const last = Math.max(this.#bytes.count - 1, 0);
    const piece = Math.min(Math.floor(offset / PIECE_BYTES), last);
    const content = this.get(piece);
    if (!content || offset >= content.start || piece === 0) return [piece, content];
    return [piece - 1, this.get(piece - 1)]; // the line begins there
  }

  /** The numbers of those pieces whose bytes are missing. */
  needed(piece) {
    const around = [piece - 1, piece, piece + 1];
    return around.filter((each) => each >= 0 && each < this.#bytes.count && !this.#bytes.has(each));
  }

  /** Where the first line that is the piece's begins; newlines before that; whether it is none. */
  #start(piece) {
    const { size } = this.#bytes;
    const from = piece * PIECE_BYTES;
    if (from >= size) return [size, 0, false];
    if (piece === 0 || this.#bytes.get(piece - 1)?.at(-1) === NEWLINE) return [from, 0, false];
    const bytes = this.#bytes.get(piece);
    const newline = bytes.indexOf(NEWLINE);
    if (newline >= 0) return [from + newline + 1, 1, false];
    if (bytes.length < PIECE_BYTES) return [size, 0, false];
    return [from + restOfCharacter(bytes), 0, true];
  }

  /** How text looks at the beginning of a piece, as far as the piece before tells. */
  #styleBefore(piece, start) {
    if (piece === 0) return PLAIN;
    const before = this.#kept.get(piece - 1);
    if (before?.screen.offset === start) return before.screen.style;
    const from = Math.max((piece - 1) * PIECE_BYTES, start - LOOKED_BACK);
    const bytes = this.#between(from, start);
    const screen = new Screen(from);
    screen.feed(bytes.subarray(bytes.indexOf(NEWLINE) + 1)); // not from within a sequence
    return screen.style;
  }

  #between(from, end) {
    const parts = [];
    for (let at = from; at < end; ) {
      const piece = Math.floor(at / PIECE_BYTES);
      const begin = piece * PIECE_BYTES;
      parts.push(this.#bytes.get(piece).subarray(at - begin, end - begin));
      at = begin + PIECE_BYTES;
    }
    return parts.length === 1 ? parts[0] : joined(parts);
  }

  #forgetOld() {
    let rows = 0;
    for (const kept of this.#kept.values()) rows += kept.rows.length;
    for (const [piece, kept] of this.#kept) {
      const many = this.#kept.size > MOST_KEPT || rows > MOST_ROWS;
      if (!many || this.#kept.size <= 3) return;
      this.#kept.delete(piece);
      rows -= kept.rows.length;
    }
  }
}

/** How many bytes belong to a character that began before (UTF-8). */
function restOfCharacter(bytes) {
  let length = 0;
  while (length < 3 && (bytes[length] & 0xc0) === 0x80) length += 1;
  return length;
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
