// Where each piece of a log is in a list of all its rows, most of which nobody has seen.
import { countSlices } from "./slices.js";

const ROWS_GUESSED = 1500;
const MOST_SHAPES = 40;

/** How the rows of one piece are shown: hidden, or in one or several slices. */
class Shape {
  /** @param {Int32Array} starts of each row, the index of its first slice; and the total. */
  constructor(starts) {
    this.starts = starts;
  }

  get total() {
    return this.starts.at(-1);
  }

  /** The row that a slice belongs to. */
  rowOf(slice) {
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.starts[middle + 1] <= slice) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * Slices counted over all pieces: exact for pieces that were seen, else estimated. Numbers are
 * those of slices, which all have the same height.
 */
export class Layout {
  #counts = []; // by piece
  #counted = new Set(); // pieces whose count is exact
  #shapes = new Map(); // piece number → [what it was counted with, its shape], the last few
  #sums = null; // slices before each piece
  #estimate;
  #least;
  #factor = 1; // slices for each line, where it was counted
  #seen = { lines: 0, slices: 0 };

  /**
   * @param {(piece: number) => number | undefined | null} estimate how many lines a piece has, about;
   *   null for one that is folded away
   * @param {(piece: number) => number} least how many slices it has if it is one line, about
   */
  constructor(estimate, least) {
    this.#estimate = estimate;
    this.#least = least;
  }

  /** The pieces have other widths or folds: count again. */
  reset() {
    this.#counted.clear();
    this.#shapes.clear();
    this.#seen = { lines: 0, slices: 0 };
    this.#factor = 1;
    this.reestimate();
  }

  /** There are other estimates. */
  reestimate() {
    for (const piece of this.#counts.keys()) {
      if (!this.#counted.has(piece)) this.#counts[piece] = undefined;
    }
    this.#sums = null;
  }

  /** The log has so many pieces. */
  resize(count) {
    if (count === this.#counts.length) return;
    while (this.#counts.length < count) this.#counts.push(undefined);
    this.#sums = null;
  }

  /** Whether a piece's count is exact, or was before it grew. */
  isCounted(piece) {
    return this.#counted.has(piece);
  }

  /** A piece has grown. One that was counted has at least as many slices as before. */
  touch(piece) {
    if (piece < 0 || piece >= this.#counts.length) return;
    const least = this.#counted.has(piece) ? this.#counts[piece] : 0;
    this.#counts[piece] = Math.max(this.#guess(piece), least);
    this.#sums = null;
  }

  /**
   * Count a piece's slices. Only what changed since is counted again.
   * @param {number} piece
   * @param {Piece} content
   * @param {number} width in columns
   * @param {(offset: number) => boolean} hidden whether the row at an offset is folded away
   */
  measure(piece, content, width, hidden) {
    const { rows } = content;
    const stamp = `${content.start} ${content.screen.offset}`;
    const before = this.#shapes.get(piece);
    if (before?.[0] === stamp && this.#counted.has(piece)) return before[1];
    const starts = new Int32Array(rows.length + 1);
    let shown = 0;
    rows.forEach((row, at) => {
      const slices = hidden(row.offset) ? 0 : countSlices(row, width);
      shown += slices > 0;
      starts[at + 1] = starts[at] + slices;
    });
    const shape = new Shape(starts);
    this.#keep(piece, stamp, shape);
    if (!this.#counted.has(piece)) this.#learn(shown, shape.total);
    this.#counted.add(piece);
    if (this.#counts[piece] !== shape.total) {
      this.#counts[piece] = shape.total;
      this.#sums = null;
    }
    return shape;
  }

  /** How many slices a piece has. */
  count(piece) {
    this.#sum();
    return this.#counts[piece];
  }

  /** How many slices all pieces have. */
  get total() {
    return this.#sum().at(-1);
  }

  /** How many slices are before a piece. */
  before(piece) {
    return this.#sum()[piece];
  }

  /** The piece that has the slice of this number, and the number in it. */
  locate(slice) {
    const sums = this.#sum();
    let low = 0;
    let high = sums.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (sums[middle] <= slice) low = middle;
      else high = middle - 1;
    }
    const piece = Math.max(Math.min(low, sums.length - 2), 0);
    return [piece, slice - sums[piece]];
  }

  #keep(piece, stamp, shape) {
    this.#shapes.delete(piece);
    this.#shapes.set(piece, [stamp, shape]);
    if (this.#shapes.size > MOST_SHAPES) this.#shapes.delete(this.#shapes.keys().next().value);
  }

  #learn(lines, slices) {
    this.#seen.lines += lines;
    this.#seen.slices += slices;
    const factor = this.#seen.lines ? this.#seen.slices / this.#seen.lines : 1;
    if (Math.abs(factor - this.#factor) < 0.05 * this.#factor) return;
    this.#factor = factor;
    this.reestimate();
  }

  #guess(piece) {
    const lines = this.#estimate(piece);
    if (lines === null) return 0;
    return Math.round(Math.max((lines ?? ROWS_GUESSED) * this.#factor, this.#least(piece)));
  }

  #sum() {
    if (this.#sums) return this.#sums;
    const counts = this.#counts;
    const sums = new Float64Array(counts.length + 1);
    for (let piece = 0; piece < counts.length; piece += 1) {
      counts[piece] ??= this.#guess(piece);
      sums[piece + 1] = sums[piece] + counts[piece];
    }
    this.#sums = sums;
    return sums;
  }
}
