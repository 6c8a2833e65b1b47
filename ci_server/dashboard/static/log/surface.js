// What a log is drawn on: an element that scrolls, and in it the rows around the window.
import { selectedText } from "./rows.js";

const NARROWEST = 20;
const FEWEST_DIGITS = 3;
const NUMBER_COLUMNS = 4; // beside its digits, and
const TIME_COLUMNS = 10; // as in log.css
const COLUMNS_SEEN = 20; // at least, of what is revealed

export class Surface {
  #observer;
  #digits = FEWEST_DIGITS;
  #columns = 0;

  /**
   * @param {HTMLElement} element to fill
   * @param {{scroll: Function, click: Function, resize: Function}} handlers
   */
  constructor(element, { scroll, click, resize }) {
    this.scroller = division("log");
    this.scroller.tabIndex = 0;
    this.scroller.role = "region";
    this.scroller.ariaLabel = "Log";
    this.sizer = division("log-size");
    this.layer = division("log-rows");
    this.sizer.append(this.layer);
    this.scroller.append(this.sizer);
    element.replaceChildren(this.scroller);
    this.#measure();
    this.scroller.addEventListener("scroll", scroll, { passive: true });
    this.layer.addEventListener("click", click);
    this.scroller.addEventListener("copy", (event) => this.#copied(event));
    this.#observer = new ResizeObserver(resize);
    this.#observer.observe(this.scroller);
  }

  close() {
    this.#observer.disconnect();
  }

  /** How many columns of text fit into the window, beside the line numbers and, perhaps, times. */
  columns(withTimes) {
    const beside = this.#digits + NUMBER_COLUMNS + (withTimes ? TIME_COLUMNS : 0);
    const room = Math.floor(this.scroller.clientWidth / this.columnWidth) - beside - 1;
    return Math.max(room, NARROWEST);
  }

  /** Room for the longest line number and the widest row so far. */
  makeRoom(number, columns) {
    const digits = Math.max(String(number ?? 0).length, this.#digits);
    if (digits !== this.#digits) this.scroller.style.setProperty("--digits", digits);
    this.#digits = digits;
    this.#columns = Math.max(columns, this.#columns);
  }

  /** Scroll sideways until a column of the text can be read. */
  reveal(column, withTimes) {
    const beside = this.#digits + NUMBER_COLUMNS + (withTimes ? TIME_COLUMNS : 0);
    const room = this.scroller.clientWidth - beside * this.columnWidth;
    const left = column * this.columnWidth;
    const { scrollLeft } = this.scroller;
    const end = left + Math.min(COLUMNS_SEEN * this.columnWidth, room);
    if (left < scrollLeft || end > scrollLeft + room) this.scroller.scrollLeft = left - room / 3;
  }

  /** Draw rows so that the first one is at this height of the list; long rows may be scrolled to. */
  place(top, isWrapped) {
    this.layer.style.transform = `translateY(${top}px)`;
    this.sizer.style.minWidth = isWrapped ? "" : `calc(${this.#columns + this.#digits + 6} * 1ch)`;
    this.scroller.classList.toggle("wrap", isWrapped);
  }

  #copied(event) {
    const selection = getSelection();
    if (selection.isCollapsed) return;
    event.clipboardData.setData("text/plain", selectedText(this.layer, selection));
    event.preventDefault();
  }

  #measure() {
    const row = division("row");
    const text = document.createElement("span");
    text.textContent = "0".repeat(100);
    text.className = "text";
    row.append(text);
    this.layer.append(row);
    this.rowHeight = row.getBoundingClientRect().height;
    this.columnWidth = text.getBoundingClientRect().width / 100;
    row.remove();
  }
}

const division = (className) => Object.assign(document.createElement("div"), { className });
