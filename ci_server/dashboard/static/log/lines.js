// The numbers of lines, and when they came: counted where the bytes are here, asked of the server
// elsewhere.
import { requestJson } from "../lib/api.js";
import { PIECE_BYTES } from "./bytes.js";

const MOST_MARKS = 2000;

/**
 * How many lines end before each piece. Exact once it is known; until then there is an estimate.
 */
export class LogLines {
  #path;
  #bytes;
  #before = new Map([[0, 0]]);
  #asked = new Set();
  #marks = [];
  #times = new Map(); // piece number → {marks, end, old, asked}: times up to an offset
  #missing = false; // whether the server is one without these routes
  #onKnown;

  /**
   * @param {string} path of the log's routes, such as "jobs/ID/logs"
   * @param {LogBytes} bytes
   * @param {() => void} onKnown called when there is more to show
   */
  constructor(path, bytes, onKnown) {
    this.#path = path;
    this.#bytes = bytes;
    this.#onKnown = onKnown;
  }

  /** How many lines end before the piece's first byte; undefined when that is not known. */
  before(piece) {
    const known = this.#before.get(piece);
    if (known !== undefined) return known;
    const previous = this.#before.get(piece - 1);
    const newlines = previous === undefined ? undefined : this.#bytes.newlines(piece - 1);
    if (newlines !== undefined) return this.#note(piece, previous + newlines);
    const next = this.#before.get(piece + 1);
    const own = next === undefined ? undefined : this.#bytes.newlines(piece);
    return own === undefined ? undefined : this.#note(piece, next - own);
  }

  /** Ask the server for what `before` does not know. */
  async ask(piece) {
    if (this.before(piece) !== undefined || this.#asked.has(piece)) return;
    this.#asked.add(piece);
    const parameters = { offset: piece * PIECE_BYTES };
    const found = await this.#request("position", parameters, () => this.#asked.delete(piece));
    if (!found) return;
    this.#note(piece, found.line - 1);
    this.#onKnown();
  }

  /** Ask for marks over the whole log, so that the heights of pieces are known about right. */
  async survey() {
    const every = Math.max(PIECE_BYTES, Math.ceil(this.#bytes.size / MOST_MARKS));
    const found = await this.#request("marks", { every, limit: MOST_MARKS + 10 });
    if (!found) return;
    this.#marks = [...found.marks, { offset: found.size, line: found.lines + 1 }];
    this.#onKnown();
  }

  /** About how many lines end in a piece; undefined when nothing is known about that. */
  estimate(piece) {
    const counted = this.#bytes.newlines(piece);
    if (counted !== undefined) return counted;
    const from = piece * PIECE_BYTES;
    const end = Math.min(from + PIECE_BYTES, this.#bytes.size);
    const lines = this.#lineAbout(end) - this.#lineAbout(from);
    return Number.isNaN(lines) ? undefined : lines;
  }

  /** The time of a byte's arrival, as RFC 3339; null when not known (yet: then it is asked for). */
  time(offset) {
    const piece = Math.floor(offset / PIECE_BYTES);
    const times = this.#times.get(piece) ?? { marks: [], end: 0, old: true, asked: false };
    this.#times.set(piece, times);
    if (times.old && !times.asked) this.#askTimes(piece, times);
    if (offset >= times.end) return null;
    let found = null;
    for (const mark of times.marks) {
      if (mark.offset > offset) break;
      found = mark.time;
    }
    return found;
  }

  /** The log has grown: the times of its last piece are not all known. */
  forgetTimes(piece) {
    const times = this.#times.get(piece);
    if (times) times.old = true;
  }

  #note(piece, lines) {
    this.#before.set(piece, lines);
    return lines;
  }

  #lineAbout(offset) {
    const marks = this.#marks;
    let low = 0;
    let high = marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (marks[middle].offset <= offset) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return NaN;
    const [mark, next] = [marks[low - 1], marks[low]];
    if (!next) return offset === mark.offset ? mark.line : NaN;
    const share = (offset - mark.offset) / (next.offset - mark.offset);
    return mark.line + (next.line - mark.line) * share;
  }

  /** One request at a time: an answer that overtakes another would be replaced by it. */
  async #askTimes(piece, times) {
    Object.assign(times, { old: false, asked: true });
    const offset = piece * PIECE_BYTES;
    const found = await this.#request("marks", { offset, end: offset + PIECE_BYTES });
    times.asked = false;
    if (!found) {
      times.old = true; // to be asked for at the next drawing
      return;
    }
    Object.assign(times, { marks: found.marks, end: found.size });
    this.#onKnown();
  }

  /** Line numbers and times are extras: the log is shown without them when they cannot be had. */
  async #request(route, parameters, onFailure = () => {}) {
    if (this.#missing) return null;
    try {
      return await requestJson(`${this.#path}/${route}`, { parameters });
    } catch (error) {
      this.#missing = error.code === "not_found";
      onFailure();
      console.info(`${route}: ${error.message}`);
      return null;
    }
  }
}
