// The elements in the window, of which those that did not change are kept.

export class Elements {
  #layer;
  #shown = new Map(); // key → {stamp, element}

  constructor(layer) {
    this.#layer = layer;
  }

  /**
   * Show these, in this order.
   * @param {{key: string, stamp: string | number, make: () => HTMLElement}[]} wanted an element
   *   is made anew when its stamp is another one than before
   */
  show(wanted) {
    const next = new Map();
    for (const { key, stamp, make } of wanted) {
      const known = this.#shown.get(key);
      next.set(key, known?.stamp === stamp ? known : { stamp, element: make() });
    }
    for (const [key, { element }] of this.#shown) {
      if (next.get(key)?.element !== element) element.remove();
    }
    let place = this.#layer.firstChild;
    for (const { element } of next.values()) {
      if (element === place) place = place.nextSibling;
      else this.#layer.insertBefore(element, place);
    }
    this.#shown = next;
  }
}
