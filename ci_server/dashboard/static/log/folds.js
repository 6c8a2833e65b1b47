// Parts of a log that are folded away: groups, and the sections of pytest.

const GROUP = /^(?:::group::|##\[group\])(.*)$/;
const GROUP_END = /^(?:::endgroup::|##\[endgroup\])\s*$/;
const SECTION = /^={3,} (.+?) ={3,}$/;
const TEST = /^_{3,} (.+?) _{3,}$/;

/**
 * What a row's text begins or ends.
 * @returns {{kind: "group" | "section" | "test", title: string} | {kind: "end"} | null}
 */
export function headingOf(text) {
  const first = text[0];
  if (first !== ":" && first !== "#" && first !== "=" && first !== "_") return null;
  if (GROUP_END.test(text)) return { kind: "end" };
  for (const [kind, pattern] of [["group", GROUP], ["section", SECTION], ["test", TEST]]) {
    const found = pattern.exec(text);
    if (found) return { kind, title: found[1].trim() };
  }
  return null;
}

/** How deep in groups, and what ends what: whether a row ends the part that `kind` began. */
export class FoldEnd {
  #kind;
  #depth = 1;

  constructor(kind) {
    this.#kind = kind;
  }

  /** Whether the part ends before this row, "before", or with it, "with"; or goes on, null. */
  at(text) {
    const heading = headingOf(text);
    if (!heading) return null;
    if (this.#kind === "group") {
      if (heading.kind === "group") this.#depth += 1;
      if (heading.kind === "end") this.#depth -= 1;
      return this.#depth ? null : "with";
    }
    if (heading.kind === "section") return "before";
    return this.#kind === "test" && heading.kind === "test" ? "before" : null;
  }
}

/**
 * Where the part ends whose heading is at an offset: the offset behind its last row; null when there
 * is no heading. An open part ends with the log.
 * @param {number} from
 * @param {AsyncIterable<{rows: Row[], screen: Screen}>} pieces from that of the heading on
 */
export async function endOfPart(from, pieces) {
  let end = null;
  let last = from;
  for await (const { rows, screen } of pieces) {
    for (const [at, row] of rows.entries()) {
      if (row.offset < from) continue;
      if (!end) {
        const heading = headingOf(row.text);
        if (!heading || row.offset !== from) return null;
        end = new FoldEnd(heading.kind);
        continue;
      }
      const how = end.at(row.text);
      if (how === "before") return row.offset;
      if (how === "with") return rows[at + 1]?.offset ?? screen.offset;
    }
    last = screen.offset;
  }
  return last;
}

/** The ranges of bytes that are folded away. A range's first row is its heading, and is shown. */
export class Folds {
  #ranges = []; // {from, to}: hidden are rows at from < offset < to

  get any() {
    return this.#ranges.length > 0;
  }

  add(from, to) {
    this.#ranges.push({ from, to });
  }

  /** Unfold the part whose heading is at an offset; whether it was folded. */
  remove(from) {
    const before = this.#ranges.length;
    this.#ranges = this.#ranges.filter((range) => range.from !== from);
    return this.#ranges.length < before;
  }

  /** Unfold whatever hides an offset; whether that was anything. */
  reveal(offset) {
    const before = this.#ranges.length;
    this.#ranges = this.#ranges.filter(({ from, to }) => !(from < offset && offset < to));
    return this.#ranges.length < before;
  }

  has(from) {
    return this.#ranges.some((range) => range.from === from);
  }

  hides(offset) {
    return this.#ranges.some(({ from, to }) => from < offset && offset < to);
  }

  /** Whether nothing between two offsets is shown. */
  covers(start, end) {
    return this.#ranges.some(({ from, to }) => from < start && end <= to);
  }
}
