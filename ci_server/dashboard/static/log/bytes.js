// The bytes of a log: those that were loaded, in pieces of one size, and how many there are.

/** Every piece but the last one has so many bytes. */
export const PIECE_BYTES = 128 << 10;

/** The range from which the end of a log is read first, whatever its size. */
export const LAST_PIECES = `bytes=-${2 * PIECE_BYTES + 1}`;

const NEWLINE = 10;
const MOST_KEPT = 48;

/**
 * What is known of the bytes. Pieces are kept while they are used; the last two always, since the
 * log may go on there.
 */
export class LogBytes {
  /** Of the log, as far as it is known to be written. */
  size = 0;
  #kept = new Map(); // piece number → {content, filled}, the least recently used first
  #newlines = new Map(); // piece number → how many newlines it has, of pieces seen whole

  /** How many pieces the log has. */
  get count() {
    return Math.ceil(this.size / PIECE_BYTES);
  }

  /** How many bytes a piece has. */
  length(piece) {
    return Math.max(Math.min(this.size - piece * PIECE_BYTES, PIECE_BYTES), 0);
  }

  /** Whether all of the piece's bytes are here. A piece behind the end has none. */
  has(piece) {
    return this.length(piece) === 0 || (this.#kept.get(piece)?.filled ?? 0) >= this.length(piece);
  }

  /** The bytes of a piece, or null while they are not here. */
  get(piece) {
    const length = this.length(piece);
    if (!length || !this.has(piece)) return length ? null : new Uint8Array(0);
    const found = this.#kept.get(piece);
    this.#kept.delete(piece);
    this.#kept.set(piece, found);
    return found.content.subarray(0, length);
  }

  /** How many newlines a piece has; undefined when that is not known. */
  newlines(piece) {
    const known = this.#newlines.get(piece);
    if (known !== undefined) return known;
    const bytes = this.#kept.has(piece) ? this.get(piece) : null;
    if (!bytes) return undefined;
    const found = countNewlines(bytes);
    if (bytes.length === PIECE_BYTES) this.#newlines.set(piece, found);
    return found;
  }

  /**
   * Take in bytes that begin at an offset. What is known already is not taken again, and of a
   * piece whose beginning is missing, nothing.
   */
  put(offset, bytes) {
    this.size = Math.max(this.size, offset + bytes.length);
    let from = 0;
    while (from < bytes.length) {
      const position = offset + from;
      const piece = Math.floor(position / PIECE_BYTES);
      const end = Math.min(from + (piece + 1) * PIECE_BYTES - position, bytes.length);
      this.#fill(piece, position - piece * PIECE_BYTES, bytes.subarray(from, end));
      from = end;
    }
    this.#forgetOld();
  }

  #fill(piece, start, bytes) {
    let kept = this.#kept.get(piece);
    if (!kept) {
      if (start > 0) return;
      kept = { content: new Uint8Array(PIECE_BYTES), filled: 0 };
      this.#kept.set(piece, kept);
    }
    if (start > kept.filled || start + bytes.length <= kept.filled) return;
    kept.content.set(bytes.subarray(kept.filled - start), kept.filled);
    kept.filled = start + bytes.length;
  }

  #forgetOld() {
    if (this.#kept.size <= MOST_KEPT) return;
    for (const piece of [...this.#kept.keys()]) {
      if (this.#kept.size <= MOST_KEPT) return;
      if (piece >= this.count - 2) continue;
      this.newlines(piece);
      this.#kept.delete(piece);
    }
  }
}

function countNewlines(bytes) {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}
