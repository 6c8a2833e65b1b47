// What a page knows, apart from how it is drawn.
import { useLayoutEffect, useReducer } from "./ui.js";

/** Something that changes, and tells those who draw it. */
export class Store {
  #readers = new Set();

  /** Call `reader` after each change; returns what ends that. */
  subscribe(reader) {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  }

  /** Tell that something changed. */
  changed() {
    for (const reader of this.#readers) reader();
  }
}

/** Draw the component again whenever the store has changed. */
export function useStore(store) {
  const [, redraw] = useReducer((count) => count + 1, 0);
  // Before painting: changes made before an ordinary effect runs would not be rendered.
  useLayoutEffect(() => store.subscribe(redraw), [store]);
  return store;
}
