// Scrolling through more than a browser can: elements end at some 17 to 33 million pixels.

const TALLEST = 12_000_000;
const JUMP = 3; // heights of the window: what moves further at once was dragged

/**
 * Maps a scroll bar to a position in a list of any height. Small steps move by their own length.
 * Larger ones, as when the bar is dragged, move in proportion. So the bar may be a little off while
 * one scrolls; it is put right when the reader rests.
 */
export class ScrollMap {
  /** Pixels of the list above the window. */
  position = 0;
  #total = 0;
  #last = 0;

  /**
   * @param {HTMLElement} element that scrolls
   * @param {HTMLElement} sizer its content, which gives it its height
   */
  constructor(element, sizer) {
    this.element = element;
    this.sizer = sizer;
  }

  /** Where the scroll bar is. */
  get bar() {
    return this.#last;
  }

  get furthest() {
    return Math.max(this.#total - this.element.clientHeight, 0);
  }

  /** The list has this height now. */
  resize(total) {
    if (total === this.#total) return;
    this.#total = total;
    this.sizer.style.height = `${Math.min(total, TALLEST)}px`;
    this.#last = this.element.scrollTop; // a browser corrects it when there is less
  }

  /** The reader has scrolled; returns by how much, or 0. */
  moved() {
    const bar = this.element.scrollTop;
    const step = bar - this.#last;
    if (!step) return 0;
    this.#last = bar;
    const before = this.position;
    if (bar <= 0) this.position = 0;
    else if (bar >= this.#furthestBar - 1) this.position = this.furthest;
    else if (Math.abs(step) > JUMP * this.element.clientHeight) {
      this.position = (bar / this.#furthestBar) * this.furthest;
    } else this.position = Math.min(Math.max(before + step, 0), this.furthest);
    return step;
  }

  /** Put the bar where the position is. */
  align() {
    const bar =
      this.#total <= TALLEST ? this.position : (this.position / this.furthest) * this.#furthestBar;
    if (Math.abs(bar - this.#last) < 1) return;
    this.element.scrollTop = bar;
    this.#last = this.element.scrollTop;
  }

  /** Whether the bar is so near an end that it would be reached too early. */
  get isTight() {
    const window = this.element.clientHeight;
    const above = this.#last < window && this.position > 2 * window;
    const left = this.furthest - this.position;
    return above || (this.#furthestBar - this.#last < window && left > 2 * window);
  }

  get #furthestBar() {
    return Math.max(Math.min(this.#total, TALLEST) - this.element.clientHeight, 0);
  }
}
