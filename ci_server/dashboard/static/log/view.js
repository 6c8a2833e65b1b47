// A log on the screen: of all its rows only those around the window are elements.
import { Anchor } from "./anchor.js";
import { LogBytes, PIECE_BYTES } from "./bytes.js";
import { Elements } from "./elements.js";
import { Folds, endOfPart, headingOf } from "./folds.js";
import { Layout } from "./layout.js";
import { LogLines } from "./lines.js";
import { Loader } from "./loader.js";
import { LogPieces } from "./pieces.js";
import { placeholder, rowElement, selectedText } from "./rows.js";
import { ScrollMap } from "./scroll.js";
import { columnsOf, sliceOf } from "./slices.js";
import { Surface } from "./surface.js";

const REST_MS = 150;
const WIDEST = 4000; // columns of a row; what is longer goes on in the next one
const MOST_FOLDED_PIECES = 64;

export class LogView {
  #bytes = new LogBytes();
  #pieces = new LogPieces(this.#bytes);
  #folds = new Folds();
  #anchor = new Anchor();
  #layout = new Layout((piece) => this.#estimate(piece));
  #lines;
  #loader;
  #surface;
  #scroll;
  #elements;
  #state = {
    following: true,
    wrap: false,
    times: false,
    query: null, // RegExp to mark
    selected: null, // {from, to}: offsets of lines
  };
  #told = { error: null, notice: null };
  #target = null; // an offset that is to be shown
  #top = null; // an offset that is to stay at the top
  #width = WIDEST; // of rows, in columns
  #stamp = 0; // changes when all elements have to be made anew
  #frame = null;
  #resting = null;
  #scrolledAt = 0;

  /**
   * @param {HTMLElement} element to fill
   * @param {object} options
   * @param {string} options.path of the raw log in the API
   * @param {(state: object) => void} options.onChange gets `{following, wrap, times, selected,
   *   size, error, notice}` after each change
   */
  constructor(element, { path, onChange }) {
    this.onChange = onChange;
    this.#surface = new Surface(element, {
      scroll: () => this.#scrolled(),
      click: (event) => this.#clicked(event),
      copy: (event) => this.#copied(event),
      resize: () => this.#resized(),
    });
    this.#scroll = new ScrollMap(this.#surface.scroller, this.#surface.sizer);
    this.#elements = new Elements(this.#surface.layer);
    this.#lines = new LogLines(path, this.#bytes, () => this.#surveyed());
    this.#loader = new Loader(path, this.#bytes, () => this.draw(), (error) => this.#tell({ error }));
  }

  // ------------------------------------------------------------------ what pages call

  /** Bytes of the log so far. */
  get size() {
    return this.#bytes.size;
  }

  /** Load the end of the log. Throws ApiError. */
  async open() {
    await this.#loader.open();
    if (this.#bytes.size > 2 * PIECE_BYTES) this.#lines.survey();
    this.#tell({});
    this.draw();
  }

  close() {
    this.#loader.close();
    this.#surface.close();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#resting);
  }

  /** The log has more: these bytes, which begin at an offset. */
  append(offset, bytes) {
    const grown = Math.floor(Math.max(this.#bytes.size - 1, 0) / PIECE_BYTES);
    this.#bytes.put(offset, bytes);
    for (const piece of [grown - 1, grown]) this.#layout.touch(piece);
    this.#lines.forgetTimes(grown);
    this.#tell({});
    this.draw();
  }

  /** Stay at the end of the log as it grows, or not. */
  follow(following) {
    if (following) this.#target = null;
    this.#change({ following });
  }

  toStart() {
    this.#change({ following: false });
    this.#moveTo(0);
  }

  /** Wrap long lines at the window's edge. */
  setWrap(wrap) {
    this.#keepPlace();
    this.#change({ wrap });
    this.#layout.reset();
    this.draw();
  }

  setTimes(times) {
    this.#change({ times });
  }

  /** Mark what matches; null for nothing. */
  setQuery(query) {
    this.#change({ query });
  }

  /** Select the lines from one to another, by the offsets in them, and show the first; or none. */
  select(selected, { show = true } = {}) {
    this.#change({ selected });
    if (selected && show) this.show(selected.from);
  }

  /** Bring the line with this byte into view. */
  show(offset) {
    if (this.#folds.reveal(offset)) this.#layout.reset();
    this.#target = Math.min(Math.max(offset, 0), Math.max(this.#bytes.size - 1, 0));
    this.#change({ following: false });
  }

  /** The raw text of the lines that are selected. */
  async selectedLines() {
    const { from, to } = this.#state.selected;
    return new TextDecoder().decode(await this.#loader.read(from, await this.#endOfLine(to)));
  }

  /** Draw soon. */
  draw() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#render();
    });
  }

  // ------------------------------------------------------------------ what readers do

  #resized() {
    if (this.#state.wrap && this.#surface.columns !== this.#width) {
      this.#keepPlace();
      this.#layout.reset();
    }
    this.draw();
  }

  #scrolled() {
    const step = this.#scroll.moved();
    if (!step) return;
    this.#scrolledAt = performance.now();
    this.#target = null;
    const atEnd = this.#scroll.position >= this.#scroll.furthest - 1;
    if (this.#state.following !== atEnd) {
      this.#state.following = atEnd;
      this.#tell({});
    }
    this.#anchor.moveTo(this.#scroll.position, this.#surface.rowHeight, this.#layout);
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => {
      this.#scroll.align();
      this.draw();
    }, REST_MS);
    this.draw();
  }

  #clicked(event) {
    const row = event.target.closest(".row");
    const offset = Number(row?.dataset.offset);
    if (event.target.closest(".fold")) this.#fold(offset);
    else if (event.target.closest("a.number") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const first = event.shiftKey && this.#state.selected ? this.#state.selected.from : offset;
      const [from, to] = [first, offset].sort((a, b) => a - b);
      this.select({ from, to }, { show: false });
    }
  }

  #copied(event) {
    const selection = getSelection();
    if (selection.isCollapsed) return;
    event.clipboardData.setData("text/plain", selectedText(this.#surface.layer, selection));
    event.preventDefault();
  }

  // ------------------------------------------------------------------ state

  #change(changes) {
    Object.assign(this.#state, changes);
    this.#stamp += 1;
    this.#tell({});
    this.draw();
  }

  #tell(news) {
    Object.assign(this.#told, news);
    const { query, ...state } = this.#state;
    this.onChange({ ...state, ...this.#told, size: this.#bytes.size });
  }

  #surveyed() {
    this.#layout.reestimate();
    this.draw();
  }

  #estimate(piece) {
    const from = piece * PIECE_BYTES;
    if (this.#folds.covers(from, from + PIECE_BYTES)) return 0;
    return this.#lines.estimate(piece);
  }

  /** What is at the top of the window is to stay there when rows change their heights. */
  #keepPlace() {
    if (this.#state.following) return;
    const content = this.#pieces.known(this.#anchor.piece);
    const shape = content && this.#measured(this.#anchor.piece, content);
    const row = shape && content.rows[shape.rowOf(this.#anchor.slice)];
    if (row) this.#top = row.offset;
  }

  // ------------------------------------------------------------------ folding

  async #fold(from) {
    if (!this.#folds.remove(from)) {
      try {
        const to = await endOfPart(from, this.#from(Math.floor(from / PIECE_BYTES)));
        if (to !== null) this.#folds.add(from, to);
      } catch (error) {
        const long = error instanceof RangeError;
        this.#tell({ notice: long ? "This part is too long to be folded." : error.message });
        return;
      }
    }
    this.#keepPlace();
    this.#layout.reset();
    this.#change({});
  }

  async *#from(piece) {
    for (let at = piece; at < this.#bytes.count; at += 1) {
      if (at - piece > MOST_FOLDED_PIECES) throw new RangeError();
      yield await this.#loaded(at);
    }
  }

  /** The rows of a piece, which is loaded when it is not here. */
  async #loaded(piece) {
    for (const each of this.#pieces.needed(piece)) {
      const from = each * PIECE_BYTES;
      const end = from + this.#bytes.length(each);
      this.#bytes.put(from, await this.#loader.read(from, end));
    }
    return this.#pieces.get(piece);
  }

  async #endOfLine(offset) {
    const content = await this.#loaded(Math.floor(offset / PIECE_BYTES));
    const starts = content.screen.lineOffsets;
    return starts.find((start) => start > offset) ?? content.screen.offset;
  }

  // ------------------------------------------------------------------ drawing

  #render() {
    const { clientHeight } = this.#surface.scroller;
    if (!clientHeight) return;
    this.#layout.resize(this.#bytes.count);
    this.#width = this.#state.wrap ? this.#surface.columns : WIDEST;
    const inWindow = Math.ceil(clientHeight / this.#surface.rowHeight) + 1;
    this.#place(inWindow);
    const [from, to, pieces] = this.#settle(inWindow);
    this.#fill(from, to, pieces);
    this.#load(pieces);
  }

  #measured(piece, content) {
    const hidden = this.#folds.any ? (offset) => this.#folds.hides(offset) : () => false;
    return this.#layout.measure(piece, content, this.#width, hidden);
  }

  /** Move to where the reader wants to be. */
  #place(inWindow) {
    const wanted = this.#target ?? this.#top;
    if (wanted === null || this.#state.following) return;
    let piece = Math.min(Math.floor(wanted / PIECE_BYTES), Math.max(this.#bytes.count - 1, 0));
    let content = this.#pieces.get(piece);
    if (content && wanted < content.start && piece > 0) {
      piece -= 1; // its line begins there
      content = this.#pieces.get(piece);
    }
    if (!content) {
      this.#anchor.moveTo(this.#layout.before(piece) * this.#surface.rowHeight, this.#surface.rowHeight, this.#layout);
      return;
    }
    const shape = this.#measured(piece, content);
    const slice = shape.starts[content.screen.rowAt(wanted) ?? 0];
    const above = this.#target === null ? 0 : Math.floor(inWindow / 3);
    const first = Math.max(this.#layout.before(piece) + slice - above, 0);
    this.#moveTo(first * this.#surface.rowHeight);
    this.#target = this.#top = null;
  }

  #moveTo(position) {
    this.#anchor.moveTo(position, this.#surface.rowHeight, this.#layout);
    this.draw();
  }

  /**
   * Count the pieces around the window, until their numbers hold still. Returns the first and last
   * slice to have elements, and the contents of their pieces.
   */
  #settle(inWindow) {
    for (let round = 0; ; round += 1) {
      const total = this.#layout.total;
      this.#scroll.resize(total * this.#surface.rowHeight);
      if (this.#state.following) this.#scroll.position = this.#scroll.furthest;
      else {
        const position = this.#anchor.position(this.#surface.rowHeight, this.#layout);
        this.#scroll.position = Math.min(position, this.#scroll.furthest);
      }
      const first = Math.floor(this.#scroll.position / this.#surface.rowHeight);
      const from = Math.max(first - inWindow, 0);
      const to = Math.min(first + 2 * inWindow, total);
      const pieces = this.#contents(from, to);
      if (this.#layout.total === total || round === 4) {
        this.#aligned();
        return [from, to, pieces];
      }
    }
  }

  #aligned() {
    if (this.#state.following || this.#scroll.isTight || !this.#isScrolling) this.#scroll.align();
    this.#anchor.moveTo(this.#scroll.position, this.#surface.rowHeight, this.#layout);
  }

  get #isScrolling() {
    return performance.now() - this.#scrolledAt < REST_MS;
  }

  #contents(from, to) {
    const found = new Map();
    if (!this.#bytes.count) return found;
    const [first] = this.#layout.locate(from);
    const [last] = this.#layout.locate(Math.max(to - 1, from));
    for (let piece = first; piece <= last; piece += 1) {
      const content = this.#pieces.get(piece);
      const shape = content && this.#measured(piece, content);
      if (shape && piece === this.#anchor.piece) this.#anchor.counted(shape.total);
      found.set(piece, { content, shape });
    }
    return found;
  }

  #fill(from, to, pieces) {
    const wanted = [];
    for (const [piece, { content, shape }] of pieces) {
      const before = this.#layout.before(piece);
      const first = Math.max(from - before, 0);
      const end = Math.min(to - before, this.#layout.count(piece));
      if (content) wanted.push(...this.#rowsOf(piece, content, shape, first, end));
      else if (end > first) wanted.push(this.#gap(piece, end - first));
    }
    this.#elements.show(wanted);
    const top = this.#scroll.bar + from * this.#surface.rowHeight - this.#scroll.position;
    this.#surface.place(top, this.#state.wrap);
  }

  #gap(piece, slices) {
    const height = slices * this.#surface.rowHeight;
    return { key: `gap ${piece}`, stamp: height, make: () => placeholder(height) };
  }

  *#rowsOf(piece, content, shape, first, end) {
    const before = this.#lines.before(piece);
    if (before === undefined && !this.#isScrolling) this.#lines.ask(piece);
    for (let slice = first, at = shape.rowOf(first); slice < end; slice += 1) {
      while (shape.starts[at + 1] <= slice) at += 1;
      const row = content.rows[at];
      const part = slice - shape.starts[at];
      const number = before === undefined ? undefined : before + content.newlinesBefore + row.line + 1;
      const time = this.#state.times ? this.#lines.time(row.offset) : undefined;
      yield {
        key: `${row.offset} ${part}`,
        stamp: `${row.version} ${this.#stamp} ${number} ${this.#width} ${time}`,
        make: () => this.#element(row, part, number, time),
      };
    }
  }

  #element(row, part, number, time) {
    const { selected, query } = this.#state;
    const heading = part === 0 ? headingOf(row.text.slice(0, 300)) : null;
    this.#surface.makeRoom(number, Math.min(columnsOf(row), WIDEST));
    return rowElement({
      spans: sliceOf(row, this.#width, part),
      offset: row.offset,
      part,
      number,
      continued: part > 0 || row.continued,
      selected: selected !== null && selected.from <= row.offset && row.offset <= selected.to,
      query,
      time,
      fold:
        heading && heading.kind !== "end"
          ? { title: heading.title, folded: this.#folds.has(row.offset) }
          : null,
    });
  }

  #load(pieces) {
    const needed = new Set();
    for (const piece of pieces.keys()) {
      for (const each of this.#pieces.needed(piece)) needed.add(each);
    }
    if (this.#target !== null) {
      const piece = Math.floor(this.#target / PIECE_BYTES);
      for (const each of this.#pieces.needed(piece)) needed.add(each);
    }
    this.#loader.want([...needed]);
  }
}
