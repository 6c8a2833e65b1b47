// A log on the screen: of all its rows only those around the window are elements.
import { Anchor } from "./anchor.js";
import { LogBytes, PIECE_BYTES } from "./bytes.js";
import { Folds, endOfPart } from "./folds.js";
import { Layout } from "./layout.js";
import { LogLines } from "./lines.js";
import { Loader } from "./loader.js";
import { Painter } from "./painter.js";
import { LogPieces } from "./pieces.js";
import { LogReader, TooLongError } from "./reader.js";
import { charactersBefore, placeIn } from "./slices.js";
import { ScrollMap } from "./scroll.js";
import { Surface } from "./surface.js";

const REST_MS = 150;
const WIDEST = 4000; // columns of a row; what is longer goes on in the next one

export class LogView {
  #bytes = new LogBytes();
  #pieces = new LogPieces(this.#bytes);
  #folds = new Folds();
  #anchor = new Anchor();
  #layout = new Layout(
    (piece) => this.#estimate(piece),
    (piece) => this.#bytes.length(piece) / this.#width,
  );
  #lines;
  #loader;
  #surface;
  #scroll;
  #painter;
  #reader;
  #state = {
    following: true,
    wrap: false,
    times: false,
    query: null, // RegExp to mark
    selected: null, // {from, to}: offsets of lines
    found: null, // {offset, part}: the row that was brought into view
  };
  #told = { error: null, notice: null };
  #target = null; // an offset that is to be shown
  #awaited = null; // an offset that is to be shown when the log has grown so far
  #top = null; // {offset, character}: what is to stay at the top
  #column = null; // a column that is to be in the window
  #held = null; // the offset that was shown last, until the reader scrolls
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
      resize: () => this.draw(),
    });
    this.#scroll = new ScrollMap(this.#surface.scroller, this.#surface.sizer);
    this.#lines = new LogLines(path, this.#bytes, () => this.#surveyed());
    this.#loader = new Loader(path, this.#bytes, () => this.draw(), (error) => this.#tell({ error }));
    this.#reader = new LogReader(this.#bytes, this.#pieces, this.#loader);
    this.#painter = new Painter(this.#surface, this.#lines, this.#folds);
  }

  // ------------------------------------------------------------------ what pages call

  /** Bytes of the log so far. */
  get size() {
    return this.#bytes.size;
  }

  /** Load the end of the log. Throws ApiError. */
  async open() {
    await this.#loader.open();
    this.#tell({});
    this.draw();
    if (this.#bytes.size > 2 * PIECE_BYTES) afterNextFrame(() => this.#lines.survey());
  }

  /** Give the log the keys. */
  focus() {
    this.#surface.scroller.focus({ preventScroll: true });
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
    if (this.#awaited !== null && this.#awaited < this.#bytes.size) this.show(this.#awaited);
    this.draw();
  }

  /** Stay at the end of the log as it grows, or not. */
  follow(following) {
    this.#leavePlace();
    this.#change({ following });
  }

  toStart() {
    this.follow(false);
    this.#moveTo(0);
  }

  /** Wrap long lines at the window's edge. */
  setWrap(wrap) {
    this.#change({ wrap });
  }

  setTimes(times) {
    this.#change({ times });
  }

  /** Mark what matches; null for nothing. */
  setQuery(query) {
    this.#change({ query });
  }

  /**
   * Select the lines from one to another, by the offsets in them, or none; and show the first, or
   * the byte `at`; null shows nothing.
   */
  select(selected, { at = selected?.from ?? null } = {}) {
    this.#change({ selected, found: null });
    if (at !== null) this.show(at);
  }

  /** Bring this byte into view; until the log has it, what is nearest. */
  show(offset) {
    this.#awaited = offset < this.#bytes.size ? null : offset;
    if (this.#folds.reveal(offset)) this.#layout.reset();
    this.#target = Math.min(Math.max(offset, 0), Math.max(this.#bytes.size - 1, 0));
    this.#top = null;
    this.#change({ following: false });
  }

  /** The raw text of the lines that are selected. */
  selectedLines() {
    const { from, to } = this.#state.selected;
    return this.#reader.text(from, to);
  }

  /** Draw soon. */
  draw() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#render();
    });
  }

  // ------------------------------------------------------------------ what readers do

  #scrolled() {
    const step = this.#scroll.moved();
    if (!step) return;
    this.#scrolledAt = performance.now();
    this.#leavePlace();
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

  /** The reader goes elsewhere. */
  #leavePlace() {
    this.#target = this.#top = this.#held = this.#awaited = null;
  }

  #clicked(event) {
    const row = event.target.closest(".row");
    const offset = Number(row?.dataset.offset);
    if (event.target.closest(".fold")) this.#fold(offset);
    else if (event.target.closest("a.number") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const first = event.shiftKey && this.#state.selected ? this.#state.selected.from : offset;
      const [from, to] = [first, offset].sort((a, b) => a - b);
      this.select({ from, to }, { at: null });
    }
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
    const { query, found, ...state } = this.#state;
    this.onChange({ ...state, ...this.#told, size: this.#bytes.size });
  }

  #surveyed() {
    this.#layout.reestimate();
    this.draw();
  }

  #estimate(piece) {
    const from = piece * PIECE_BYTES;
    return this.#folds.covers(from, from + PIECE_BYTES) ? null : this.#lines.estimate(piece);
  }

  /** What is at the top of the window is to stay there when rows change their heights. */
  #keepPlace() {
    if (this.#state.following) return;
    const content = this.#pieces.known(this.#anchor.piece);
    const shape = content && this.#measured(this.#anchor.piece, content);
    const at = shape?.rowOf(this.#anchor.slice);
    const row = content?.rows[at];
    if (!row) return;
    const part = this.#anchor.slice - shape.starts[at];
    this.#top = { offset: row.offset, character: charactersBefore(row, this.#width, part) };
  }

  // ------------------------------------------------------------------ folding

  async #fold(from) {
    this.#tell({ notice: null });
    if (!this.#folds.remove(from)) {
      try {
        const to = await endOfPart(from, this.#reader.from(from));
        if (to !== null) this.#folds.add(from, to);
      } catch (error) {
        const long = error instanceof TooLongError;
        this.#tell({ notice: long ? "This part is too long to be folded." : error.message });
        return;
      }
    }
    this.#keepPlace();
    this.#layout.reset();
    this.#change({});
  }

  // ------------------------------------------------------------------ drawing

  #render() {
    const { clientHeight } = this.#surface.scroller;
    if (!clientHeight) return;
    this.#layout.resize(this.#bytes.count);
    this.#setWidth();
    const inWindow = Math.ceil(clientHeight / this.#surface.rowHeight) + 1;
    this.#place(inWindow);
    const [from, to, pieces] = this.#settle(inWindow);
    this.#paint(from, to, pieces);
    if (this.#column !== null) this.#surface.reveal(this.#column, this.#state.times);
    this.#column = null;
    this.#load(pieces);
    if (this.#columns !== this.#width) this.draw(); // there is a longer line number
  }

  /** How many columns a row may have. */
  get #columns() {
    return this.#state.wrap ? this.#surface.columns(this.#state.times) : WIDEST;
  }

  #setWidth() {
    if (this.#columns === this.#width) return;
    if (this.#held === null) this.#keepPlace();
    else this.#target = this.#held;
    this.#width = this.#columns;
    this.#state.found = null;
    this.#stamp += 1;
    this.#layout.reset();
  }

  #measured(piece, content) {
    const hidden = this.#folds.any ? (offset) => this.#folds.hides(offset) : () => false;
    return this.#layout.measure(piece, content, this.#width, hidden);
  }

  /** Move to where the reader wants to be. */
  #place(inWindow) {
    const wanted = this.#target ?? this.#top?.offset ?? null;
    if (wanted === null || this.#state.following) return;
    const [piece, content] = this.#pieces.around(wanted);
    if (!content) {
      this.#anchor.moveTo(this.#layout.before(piece) * this.#surface.rowHeight, this.#surface.rowHeight, this.#layout);
      return;
    }
    const shape = this.#measured(piece, content);
    const { at, part } = this.#placeOf(piece, wanted);
    const above = this.#target === null ? 0 : Math.floor(inWindow / 3);
    const first = Math.max(this.#layout.before(piece) + shape.starts[at] + part - above, 0);
    this.#moveTo(first * this.#surface.rowHeight);
    this.#target = this.#top = null;
  }

  /** The row of a byte, and the part of that row which is wanted. */
  #placeOf(piece, wanted) {
    const { at, row, character } = this.#pieces.cell(piece, wanted);
    if (!row) return { at, part: 0 };
    const wantedCharacter = this.#top?.character ?? character;
    const { index: part, column } = placeIn(row, this.#width, wantedCharacter);
    if (this.#target === null) return { at, part };
    if (!part) this.#selectWhole(row.offset);
    this.#held = wanted;
    this.#column = column;
    if (part || row.continued) this.#change({ found: { offset: row.offset, part } });
    return { at, part };
  }

  /** A link may name any byte of a line: select the line. */
  #selectWhole(offset) {
    const { selected } = this.#state;
    if (!selected || selected.from !== this.#target || selected.from === offset) return;
    const to = selected.to === selected.from ? offset : selected.to;
    this.#change({ selected: { from: offset, to } });
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
      if (!this.#isScrolling) this.#lines.ask(piece);
      found.set(piece, { content, shape });
    }
    return found;
  }

  #paint(from, to, pieces) {
    const parts = [...pieces].map(([piece, { content, shape }]) => {
      const before = this.#layout.before(piece);
      const end = Math.min(to - before, this.#layout.count(piece));
      return { piece, content, shape, first: Math.max(from - before, 0), end };
    });
    this.#painter.paint(parts, { ...this.#state, width: this.#width, stamp: this.#stamp });
    const top = this.#scroll.bar + from * this.#surface.rowHeight - this.#scroll.position;
    this.#surface.place(top, this.#state.wrap);
  }

  #load(pieces) {
    const shown = [...pieces.keys()];
    if (this.#target !== null) shown.push(Math.floor(this.#target / PIECE_BYTES));
    this.#loader.want([...new Set(shown.flatMap((piece) => this.#pieces.needed(piece)))]);
  }
}

const afterNextFrame = (act) => requestAnimationFrame(() => setTimeout(act));
