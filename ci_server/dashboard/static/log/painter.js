// Draws the rows of a window.
import { Elements } from "./elements.js";
import { headingOf } from "./folds.js";
import { placeholder, rowElement } from "./rows.js";
import { columnsOf, sliceOf } from "./slices.js";

const LONGEST_HEADING = 300;

export class Painter {
  #surface;
  #lines;
  #folds;
  #elements;

  /** @param {Surface} surface @param {LogLines} lines @param {Folds} folds */
  constructor(surface, lines, folds) {
    this.#surface = surface;
    this.#lines = lines;
    this.#folds = folds;
    this.#elements = new Elements(surface.layer);
  }

  /**
   * Draw the parts of pieces.
   * @param {{piece: number, content: Piece | null, shape: Shape, first: number, end: number}[]} parts
   *   the slices from `first` to `end` of each; without content there is a gap
   * @param {object} look `{width, selected, found, query, times}`, and `stamp`, which changes with any of
   *   them
   */
  paint(parts, look) {
    const wanted = [];
    for (const part of parts) {
      if (part.content) wanted.push(...this.#rows(part, look));
      else if (part.end > part.first) wanted.push(this.#gap(part));
    }
    this.#elements.show(wanted);
  }

  #gap({ piece, first, end }) {
    const height = (end - first) * this.#surface.rowHeight;
    return { key: `gap ${piece}`, stamp: height, make: () => placeholder(height) };
  }

  *#rows({ piece, content, shape, first, end }, look) {
    const before = this.#lines.before(piece);
    for (let slice = first, at = shape.rowOf(first); slice < end; slice += 1) {
      while (shape.starts[at + 1] <= slice) at += 1;
      const row = content.rows[at];
      const part = slice - shape.starts[at];
      const number = before === undefined ? undefined : before + content.newlinesBefore + row.line + 1;
      const time = look.times ? this.#lines.time(row.offset) : undefined;
      yield {
        key: `${row.offset} ${part}`,
        stamp: `${row.version} ${look.stamp} ${number} ${time}`,
        make: () => this.#element(row, part, number, time, look),
      };
    }
  }

  #element(row, part, number, time, { width, selected, found, query }) {
    const heading = part === 0 ? headingOf(row.text.slice(0, LONGEST_HEADING)) : null;
    this.#surface.makeRoom(number, columnsOf(row, width));
    return rowElement({
      spans: sliceOf(row, width, part),
      offset: row.offset,
      part,
      number,
      continued: part > 0 || row.continued,
      selected:
        (selected !== null && selected.from <= row.offset && row.offset <= selected.to) ||
        (found?.offset === row.offset && found.part === part),
      query,
      time,
      fold:
        heading && heading.kind !== "end"
          ? { title: heading.title, folded: this.#folds.has(row.offset) }
          : null,
    });
  }
}
