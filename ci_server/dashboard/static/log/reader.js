// Reads parts of a log that need not be on the screen.
import { PIECE_BYTES } from "./bytes.js";

const MOST_PIECES = 64;

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

  /** The raw text of lines, from the beginning of one to the end of another. Throws ApiError. */
  async text(from, lastLine) {
    const content = await this.piece(Math.floor(lastLine / PIECE_BYTES));
    const next = content.screen.lineOffsets.find((start) => start > lastLine);
    return new TextDecoder().decode(await this.#loader.read(from, next ?? content.screen.offset));
  }
}
