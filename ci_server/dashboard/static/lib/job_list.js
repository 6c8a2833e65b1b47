// A list of jobs that stays up to date: pages of it, and the events that change it.
import { ApiError, jsonOf, request, requestJson } from "./api.js";
import { EventStream } from "./event_stream.js";
import { NO_FILTER, PAGE, apiParameters, limitFor, mayConcern } from "./job_filter.js";
import { merged } from "./merged_jobs.js";
import { Store } from "./store.js";

const FEW = 10;
const MOST_NAMED = 100; // ids in one request
const MOST_TOUCHED = 1_000; // with more, the list is read again
const MOST_ADDED = 500; // rows that events add to those that the reader asked for
const GATHER_MS = 150; // events that come together are answered together
const PAUSE_MS = 1_000; // at least between two requests for events
const LONGEST_PAUSE_MS = 30_000;
const WAITING_MS = 10_000; // places in the queue change without events of one's own jobs
const SILENCE_MS = 2_000; // a connection that is back before this was not away
const KINDS = [
  "submitted",
  "claimed",
  "started",
  "cancel_requested",
  "retried",
  "finished",
  "deleted",
];

const isWaiting = (job) => job.status === "queued" || job.status === "initializing";

/** The list. It is drawn after each change. */
export class JobList extends Store {
  jobs = [];
  filter = NO_FILTER;
  /** "loading", "ready", or "failed", with `error` */
  state = "loading";
  error = null;
  /** Whether there are older jobs, and whether they are being loaded, or the error of that. */
  hasMore = false;
  loadingMore = false;
  moreError = null;
  /** "open", "waiting" while there is none, or "closed" for good */
  connection = "open";
  /** Ids of jobs that came into the list while it was shown. */
  fresh = new Set();

  #parameters = {};
  #reading = null; // what ends the request for the list
  #turn = Promise.resolve();
  #asked = 0; // rows that the reader asked for
  #touched = new Set();
  #deleted = new Set();
  #wholeList = false;
  #timer = null;
  #again = null; // what reads a list that could not be read
  #pause = PAUSE_MS;
  #busy = false;
  #lastRead = 0;
  #stream = null;
  #silence = null;
  #begun = false;

  /** Load the first `count` jobs, and follow the events. */
  start(filter, count = PAGE) {
    this.filter = filter;
    this.#stream = new EventStream("events", {
      onEvent: (event) => this.#onEvent(event),
      onState: (state) => this.#onConnection(state),
      parameters: (after) => ({ kind: KINDS, after }),
    });
    document.addEventListener("visibilitychange", () => this.#schedule());
    setInterval(() => this.#askForWaiting(), WAITING_MS);
    return this.load(count);
  }

  /** Show other jobs. */
  show(filter) {
    this.filter = filter;
    return this.load();
  }

  /** Read the list again from its first job. */
  async load(count = PAGE) {
    this.#reading?.abort();
    const reading = (this.#reading = new AbortController());
    clearTimeout(this.#again);
    this.#parameters = apiParameters(this.filter);
    this.state = "loading";
    this.#touched.clear();
    this.#deleted.clear();
    this.#wholeList = false;
    this.changed();
    try {
      const { jobs, hasMore } = await this.#page({ limit: limitFor(count) }, reading.signal);
      Object.assign(this, { jobs, hasMore, state: "ready", error: null, moreError: null });
      this.#asked = jobs.length;
      this.#pause = PAUSE_MS;
      this.fresh.clear();
    } catch (error) {
      if (reading.signal.aborted) return;
      Object.assign(this, { state: "failed", error });
      if (error.isPassing) this.#loadAgain(count);
      else if (this.#isRefusal(error)) this.#end(error);
    }
    this.loadingMore = false;
    this.changed();
    this.#schedule();
  }

  #isRefusal(error) {
    return error.status === 401 || error.status === 403;
  }

  /** One may not see the list, or no more: the session has expired, for example. */
  #end(error) {
    clearTimeout(this.#silence);
    this.#stream.close();
    Object.assign(this, { state: "failed", error, connection: "closed", jobs: [] });
  }

  #loadAgain(count) {
    this.#again = setTimeout(() => this.load(count), this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }

  /** Add older jobs to those that are shown. */
  async loadMore() {
    if (this.loadingMore || !this.hasMore || this.state !== "ready") return;
    const { signal } = this.#reading;
    Object.assign(this, { loadingMore: true, moreError: null });
    this.changed();
    try {
      await this.#inTurn(() => this.#readOlder(signal));
    } catch (error) {
      if (signal.aborted) return;
      if (error.code === "job_not_found") this.#wholeList = true; // where we were was deleted
      else this.moreError = error;
    }
    this.loadingMore = false;
    this.changed();
    this.#schedule();
  }

  /** A job has changed by what the reader did. */
  touch(jobId) {
    this.#touched.add(jobId);
    this.#schedule();
  }

  /** One after the other: each changes the list that it finds. */
  #inTurn(read) {
    const done = this.#turn.then(read);
    this.#turn = done.catch(() => {}); // whoever asked is told
    return done;
  }

  async #readOlder(signal) {
    const cursor = this.jobs.at(-1)?.job_id;
    const { jobs, hasMore } = await this.#page({ limit: PAGE, cursor }, signal);
    const known = new Set(this.jobs.map((job) => job.job_id));
    this.jobs = [...this.jobs, ...jobs.filter((job) => !known.has(job.job_id))];
    this.hasMore = hasMore;
    this.#asked = this.jobs.length;
  }

  async #page(parameters, signal) {
    const answer = await request("jobs", {
      parameters: { ...this.#parameters, ...parameters },
      signal,
    });
    return { jobs: await jsonOf(answer), hasMore: answer.headers.has("X-Next-Cursor") };
  }

  // ------------------------------------------------------------------ events

  #onConnection(state) {
    if (state === "ended") {
      clearTimeout(this.#silence);
      this.connection = "closed";
      this.changed();
      return;
    }
    if (state === "waiting") {
      this.#silence ??= setTimeout(() => this.#onSilence(), SILENCE_MS);
      return;
    }
    clearTimeout(this.#silence);
    this.#silence = null;
    this.#pause = PAUSE_MS;
    this.connection = "open";
    this.changed();
    if (this.state === "failed") this.load(this.jobs.length);
    else this.#schedule();
  }

  #onSilence() {
    this.connection = "waiting";
    this.#wholeList = true; // the answer tells whether one may still see it
    this.changed();
    this.#schedule();
  }

  #onEvent(event) {
    if (event.type === "begin" && !this.#begun) {
      this.#begun = true;
      this.#wholeList = true; // what happened between the first list and this is in no event
    } else if (event.type === "gone") this.#wholeList = true;
    else if (event.type === "job") this.#onJobEvent(event);
    this.#schedule();
  }

  #onJobEvent(event) {
    const isShown = this.#isReading || this.jobs.some((job) => job.job_id === event.job_id);
    if (event.kind === "deleted") {
      if (isShown) this.#deleted.add(event.job_id);
      this.#touched.delete(event.job_id);
    } else if (isShown || mayConcern(this.filter, event)) {
      this.#touched.add(event.job_id);
    }
    // Whoever waits may wait less now.
    if (event.kind !== "started") this.#addWaiting();
  }

  /** Jobs are about to come into the list, perhaps as they were before an event that arrives now. */
  get #isReading() {
    return this.state === "loading" || this.#busy || this.loadingMore;
  }

  #addWaiting() {
    for (const job of this.jobs) {
      if (this.#touched.size >= MOST_NAMED) return;
      if (isWaiting(job)) this.#touched.add(job.job_id);
    }
  }

  #askForWaiting() {
    if (document.hidden || this.state !== "ready") return;
    this.#addWaiting();
    this.#schedule();
  }

  /** Ask for what events told of, not more often than once in a pause, and not unseen. */
  #schedule() {
    if (this.#timer !== null || this.#busy || document.hidden || !this.#isBehind) return;
    const rest = this.#lastRead + this.#pause - Date.now();
    this.#timer = setTimeout(() => this.#catchUp(), Math.max(GATHER_MS, rest));
  }

  get #isBehind() {
    return this.#wholeList || this.#touched.size > 0 || this.#deleted.size > 0;
  }

  async #catchUp() {
    this.#timer = null;
    if (this.state !== "ready") return; // a new list is being read, or there is none
    this.#remove(this.#deleted);
    this.#deleted = new Set();
    const [touched, whole] = [this.#touched, this.#wholeList];
    [this.#touched, this.#wholeList, this.#busy, this.#lastRead] = [new Set(), false, true, Date.now()];
    const { signal } = this.#reading;
    const isMany = whole || touched.size > MOST_TOUCHED;
    try {
      await this.#inTurn(() => (isMany ? this.#readAgain(signal) : this.#readNamed(touched, signal)));
      this.#pause = PAUSE_MS;
    } catch (error) {
      if (!(error instanceof ApiError) && !signal.aborted) throw error;
      if (!signal.aborted && this.#isRefusal(error)) this.#end(error);
      else if (!signal.aborted) {
        for (const jobId of touched) this.#touched.add(jobId);
        this.#wholeList ||= whole;
        this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
      }
    } finally {
      this.#busy = false;
    }
    this.changed();
    this.#schedule();
    if (this.jobs.length < FEW) this.loadMore(); // the others left the list
  }

  async #readAgain(signal) {
    const limit = limitFor(this.jobs.length);
    const before = new Set(this.jobs.map((job) => job.job_id));
    const { jobs, hasMore } = await this.#page({ limit }, signal);
    Object.assign(this, { jobs, hasMore });
    for (const job of jobs) if (!before.has(job.job_id)) this.fresh.add(job.job_id);
  }

  async #readNamed(touched, signal) {
    const ids = [...touched];
    for (let start = 0; start < ids.length; start += MOST_NAMED) {
      const some = ids.slice(start, start + MOST_NAMED);
      const parameters = { ...this.#parameters, id: some, limit: MOST_NAMED };
      const found = await requestJson("jobs", { parameters, signal });
      const matching = new Set(found.map((job) => job.job_id));
      this.#remove(new Set(some.filter((jobId) => !matching.has(jobId))));
      const { jobs, added } = merged(this.jobs, found, this.hasMore);
      this.jobs = jobs;
      for (const job of added) this.fresh.add(job.job_id);
    }
    this.#trim();
  }

  /** The page does not grow without end while nobody looks at it. */
  #trim() {
    const most = this.#asked + MOST_ADDED;
    if (this.jobs.length > most) Object.assign(this, { jobs: this.jobs.slice(0, most), hasMore: true });
  }

  #remove(ids) {
    this.jobs = this.jobs.filter((job) => !ids.has(job.job_id));
  }
}
