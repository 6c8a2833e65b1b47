// Server-Sent Events that go on after every interruption, from where they were.
import { apiUrl } from "./api.js";
import { checkSession } from "./session.js";
import { signedOut } from "./signed_out.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/**
 * One stream. A browser's EventSource reconnects by itself when a connection breaks, but gives up
 * for good when it is answered with an error, as by a proxy whose server restarts: then this opens
 * another, after the last event that was read.
 */
export class EventStream {
  #source = null;
  #timer = null;
  #pause = FIRST_PAUSE_MS;
  #lastId = "";
  #unsubscribe = signedOut.subscribe(() => this.#end());

  /**
   * @param {string} path of the API, such as "events"
   * @param {object} options
   * @param {(event: object, id: string) => boolean | void} options.onEvent gets each event's JSON;
   *   true ends the stream
   * @param {(state: "open" | "waiting" | "ended") => void} [options.onState] "ended" with the session
   * @param {(lastId: string) => object} [options.parameters] of the address, after this event
   */
  constructor(path, { onEvent, onState = () => {}, parameters = (after) => ({ after }) }) {
    this.path = path;
    this.onEvent = onEvent;
    this.onState = onState;
    this.parameters = parameters;
    if (signedOut.reason === null) this.#open();
  }

  /** End the stream. */
  close() {
    this.#unsubscribe();
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #end() {
    this.close();
    this.onState("ended");
  }

  #open() {
    const source = new EventSource(apiUrl(this.path, this.parameters(this.#lastId)));
    this.#source = source;
    source.onopen = () => {
      this.#pause = FIRST_PAUSE_MS;
      this.onState("open");
    };
    source.onmessage = (message) => {
      if (message.lastEventId) this.#lastId = message.lastEventId;
      if (this.onEvent(JSON.parse(message.data), message.lastEventId)) this.close();
    };
    source.onerror = () => {
      if (this.#source !== source) return;
      this.onState("waiting");
      if (source.readyState !== EventSource.CLOSED) return; // it reconnects by itself
      checkSession();
      this.#timer = setTimeout(() => this.#open(), this.#pause);
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
    };
  }
}
