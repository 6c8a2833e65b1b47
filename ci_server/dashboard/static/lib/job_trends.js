// Pass rates and durations of the names of jobs, for those that a list shows.
import { ApiError, requestJson } from "./api.js";
import { isFinal } from "./job_state.js";
import { Store } from "./store.js";

const MOST_NAMES = 50; // in one request
const LONGEST_NAME = 64;
const MOST_KNOWN = 500;
const PAUSE_MS = 3_000; // at least between two requests
const LONGEST_PAUSE_MS = 60_000;

/** Jobs without a project have a title instead, and no name of their own. */
function keyOf(job) {
  const isNamed = job.title === null && job.name.length <= LONGEST_NAME;
  return isNamed ? JSON.stringify([job.tenant, job.name]) : null;
}

/** The trends. They are drawn after each change. */
export class JobTrends extends Store {
  #known = new Map(); // by key: a trend, or null where there is none
  #wanted = new Map(); // names that are to be asked for, by key
  #newest = new Map(); // by key: when the last job ended that the trend counts, or will
  #timer = null;
  #lastRead = 0;
  #pause = PAUSE_MS;

  /** The trend of a job's name, if it is known. */
  of(job) {
    return this.#known.get(keyOf(job)) ?? null;
  }

  /** These jobs are shown now: load what is not known of them, or has changed. */
  want(jobs) {
    for (const job of jobs) {
      const key = keyOf(job);
      if (key === null) continue;
      const isNews = isFinal(job) && job.end_time > (this.#newest.get(key) ?? "");
      if (isNews) this.#newest.set(key, job.end_time);
      if (isNews || !this.#known.has(key)) this.#wanted.set(key, job.name);
    }
    this.#schedule();
  }

  #schedule() {
    if (this.#timer !== null || !this.#wanted.size) return;
    const rest = this.#lastRead + this.#pause - Date.now();
    this.#timer = setTimeout(() => this.#read(), Math.max(0, rest));
  }

  async #read() {
    this.#lastRead = Date.now();
    const asked = [...this.#wanted].slice(0, MOST_NAMES);
    for (const [key] of asked) this.#wanted.delete(key);
    try {
      const parameters = { name: [...new Set(asked.map(([, name]) => name))] };
      const found = await requestJson("jobs/trends", { parameters });
      if (this.#known.size > MOST_KNOWN) this.#forget();
      for (const [key] of asked) this.#known.set(key, null);
      for (const trend of found) this.#known.set(JSON.stringify([trend.tenant, trend.name]), trend);
      this.#pause = PAUSE_MS;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // Rows are shown without.
      if (error.isPassing) for (const [key, name] of asked) this.#wanted.set(key, name);
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
    }
    this.#timer = null;
    this.changed();
    this.#schedule();
  }

  #forget() {
    this.#known.clear();
    this.#newest.clear();
  }
}
