// Gets the pieces of a log that are wanted, by Range requests.
import { request } from "../lib/api.js";
import { LAST_PIECES, PIECE_BYTES } from "./bytes.js";

const MOST_AT_ONCE = 2;
const MOST_PIECES = 4; // of one request
const PAUSES_MS = [500, 1000, 2000, 5000, 15_000];

export class Loader {
  #path;
  #bytes;
  #running = []; // {first, last, abort}
  #wanted = new Set();
  #onLoaded;
  #onError;
  #failures = 0;
  #timer = null;
  #closed = false;

  /**
   * @param {string} path of the raw log
   * @param {LogBytes} bytes where what was loaded goes
   * @param {() => void} onLoaded
   * @param {(error: ApiError | null) => void} onError null when it goes on
   */
  constructor(path, bytes, onLoaded, onError) {
    this.#path = path;
    this.#bytes = bytes;
    this.#onLoaded = onLoaded;
    this.#onError = onError;
  }

  /** Load the end of the log, from which its size is known. */
  async open() {
    const answer = await request(this.#path, { headers: { Range: LAST_PIECES } });
    const [, first] = /^bytes (\d+)-/.exec(answer.headers.get("Content-Range")) ?? [0, 0]; // empty
    this.#bytes.put(...aligned(Number(first), new Uint8Array(await answer.arrayBuffer())));
  }

  /** Load these pieces, and no others any more. */
  want(pieces) {
    this.#wanted = new Set(pieces);
    for (const run of this.#running) {
      if (!pieces.some((each) => each >= run.first && each <= run.last)) run.abort.abort();
    }
    this.#start();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const run of this.#running) run.abort.abort();
  }

  /** The bytes from one offset to another, which need not be kept. */
  async read(from, end) {
    if (from >= end) return new Uint8Array(0);
    const headers = { Range: `bytes=${from}-${end - 1}` };
    return new Uint8Array(await (await request(this.#path, { headers })).arrayBuffer());
  }

  #start() {
    while (!this.#closed && !this.#timer && this.#running.length < MOST_AT_ONCE) {
      const first = this.#next();
      if (first === undefined) break;
      let last = first;
      while (last - first + 1 < MOST_PIECES && this.#lacks(last + 1)) last += 1;
      this.#load({ first, last, abort: new AbortController() });
    }
    // What could not be loaded is not wanted any more.
    if (!this.#timer && !this.#running.length) this.#recovered();
  }

  #next() {
    for (const piece of this.#wanted) {
      if (this.#lacks(piece)) {
        let first = piece;
        while (piece - first + 1 < MOST_PIECES && this.#lacks(first - 1)) first -= 1;
        return first;
      }
    }
    return undefined;
  }

  #lacks(piece) {
    const runs = this.#running.some((run) => run.first <= piece && piece <= run.last);
    return this.#wanted.has(piece) && !runs && !this.#bytes.has(piece);
  }

  async #load(run) {
    this.#running.push(run);
    try {
      const from = run.first * PIECE_BYTES;
      const end = Math.min((run.last + 1) * PIECE_BYTES, this.#bytes.size);
      const headers = { Range: `bytes=${from}-${end - 1}` };
      const answer = await request(this.#path, { headers, signal: run.abort.signal });
      this.#bytes.put(from, new Uint8Array(await answer.arrayBuffer()));
      this.#recovered();
    } catch (error) {
      if (!run.abort.signal.aborted) this.#failed(error);
    } finally {
      this.#running.splice(this.#running.indexOf(run), 1);
    }
    if (this.#closed) return;
    this.#onLoaded();
    this.#start();
  }

  #recovered() {
    if (this.#failures) this.#onError(null);
    this.#failures = 0;
  }

  /** Try again after a while: servers restart, and connections break. */
  #failed(error) {
    this.#onError(error);
    const pause = PAUSES_MS[Math.min(this.#failures, PAUSES_MS.length - 1)];
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#onLoaded();
      this.#start();
    }, pause);
  }
}

/** Without what is before the first whole piece. */
function aligned(offset, bytes) {
  const from = Math.ceil(offset / PIECE_BYTES) * PIECE_BYTES;
  return [from, bytes.subarray(from - offset)];
}
