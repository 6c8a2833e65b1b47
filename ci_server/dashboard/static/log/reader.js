// Reads parts of a log that need not be on the screen.
import { PIECE_BYTES } from "./bytes.js";

const MOST_PIECES = 64;
const NEWLINE = 10;
const MOST_AT_ONCE = 8 << 20;
const LONGEST_TEXT = 64 << 20;

/** There is more than one reads in one go. */
export class TooLongError extends Error {}

export class LogReader {
  #bytes;
  #pieces;
  #loader;

  /** @param {LogBytes} bytes @param {LogPieces} pieces @param {Loader} loader */
  constructor(bytes, pieces, loader) {
    this.#bytes = bytes;
    this.#pieces = pieces;
    this.#loader = loader;
  }

  /** The rows of a piece, which is loaded when it is not here. Throws ApiError. */
  async piece(piece) {
    for (const each of this.#pieces.needed(piece)) {
      const from = each * PIECE_BYTES;
      const end = from + this.#bytes.length(each);
      this.#bytes.put(from, await this.#loader.read(from, end));
    }
    return this.#pieces.get(piece);
  }

  /** The pieces from that of an offset on. Throws ApiError, and TooLongError after 8 MiB. */
  async *from(offset) {
    const first = Math.floor(offset / PIECE_BYTES);
    for (let piece = first; piece < this.#bytes.count; piece += 1) {
      if (piece - first > MOST_PIECES) throw new TooLongError();
      yield await this.piece(piece);
    }
  }

  /**
   * The raw text of lines, from the beginning of one to the end of another, however long that is.
   * Throws ApiError, and TooLongError after 64 MiB.
   */
  async text(from, lastLine) {
    const decoder = new TextDecoder();
    const parts = [];
    let step = PIECE_BYTES;
    for (let at = from; at < this.#bytes.size; step *= 2) {
      if (at - from > LONGEST_TEXT) throw new TooLongError("too long to be copied");
      const wanted = Math.min(Math.max(lastLine - at, 0) + step, MOST_AT_ONCE);
      const bytes = await this.#loader.read(at, Math.min(at + wanted, this.#bytes.size));
      const newline = bytes.indexOf(NEWLINE, Math.max(lastLine - at, 0));
      const end = newline < 0 ? bytes.length : newline + 1;
      parts.push(decoder.decode(bytes.subarray(0, end), { stream: true }));
      if (newline >= 0) break;
      at += bytes.length;
    }
    return parts.join("") + decoder.decode();
  }
}
