// One row of a terminal: text in styles, which can be overwritten.

const COMBINING = /^[\p{M}\u200d\ufe0f]$/u;
const PLAIN_TEXT = /^[\x20-\x7e]*$/;

export class Row {
  #spans = [];
  #cells = null; // while it is being overwritten: [character, style] of each column

  /**
   * @param {number} offset of the first byte of its line in the log
   * @param {number} line how many lines end before it, counted from where the screen begins
   * @param {boolean} continued whether it goes on a line that began in a row before
   */
  constructor(offset, line, continued) {
    this.offset = offset;
    this.line = line;
    this.continued = continued;
    /** How many characters it has. */
    this.length = 0;
    /** Whether each character takes one column. */
    this.simple = true;
    /** Changes whenever its content does. */
    this.version = 0;
  }

  /** What it shows: `{text, style}`, of which no two neighbours have the same style. */
  get spans() {
    if (this.#cells) this.settle();
    return this.#spans;
  }

  /** Its text without styles. */
  get text() {
    const { spans } = this;
    return spans.length === 1 ? spans[0].text : spans.map((span) => span.text).join("");
  }

  /** Write at a column; returns the column after the text. */
  put(column, text, style) {
    this.version += 1;
    if (!this.#cells && column === this.length && PLAIN_TEXT.test(text)) {
      const last = this.#spans.at(-1);
      if (last?.style === style) last.text += text;
      else this.#spans.push({ text, style });
      this.length += text.length;
      return this.length;
    }
    if (!PLAIN_TEXT.test(text)) this.simple = false;
    const cells = this.#opened();
    while (cells.length < column) cells.push([" ", style]);
    for (const character of text) {
      if (column > 0 && COMBINING.test(character)) {
        const [before, its] = cells[column - 1];
        if (before.length < 32) cells[column - 1] = [before + character, its];
      } else {
        cells[column] = [character, style];
        column += 1;
      }
    }
    this.length = cells.length;
    return column;
  }

  /** Leave nothing from a column on. */
  cut(column) {
    if (column >= this.length) return;
    this.#opened().length = column;
    this.length = column;
    this.version += 1;
  }

  /** Make spaces of what is before a column. */
  blank(column, style) {
    const end = Math.min(column, this.length);
    const cells = this.#opened();
    for (let at = 0; at < end; at += 1) cells[at] = [" ", style];
    this.version += 1;
  }

  /** Nothing is written for now: keep it small. */
  settle() {
    if (!this.#cells) return;
    const spans = [];
    for (const [text, style] of this.#cells) {
      const last = spans.at(-1);
      if (last?.style === style) last.text += text;
      else spans.push({ text, style });
    }
    this.#spans = spans;
    this.#cells = null;
  }

  #opened() {
    if (!this.#cells) {
      this.#cells = this.#spans.flatMap(({ text, style }) =>
        charactersOf(text).map((each) => [each, style]),
      );
    }
    return this.#cells;
  }
}

/** The characters of a text, each with what combines with it. */
export function charactersOf(text) {
  if (PLAIN_TEXT.test(text)) return text.split("");
  const found = [];
  for (const character of text) {
    if (found.length && COMBINING.test(character)) found[found.length - 1] += character;
    else found.push(character);
  }
  return found;
}
