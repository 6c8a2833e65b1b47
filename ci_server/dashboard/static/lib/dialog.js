// A dialog that is open as long as it is shown.
import { html, useLayoutEffect, useRef } from "./ui.js";

/** `onClose` is called when the reader closes it, also with Escape. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  useLayoutEffect(() => {
    const [element, before] = [dialog.current, document.activeElement];
    element.showModal();
    return () => {
      element.close(); // while it is open, nothing else takes the focus
      if (before?.isConnected) before.focus();
    };
  }, []);
  return html`<dialog class="dialog" ref=${dialog} aria-labelledby="dialog-title" onClose=${onClose}>
    <h2 id="dialog-title">${title}</h2>
    ${children}
  </dialog>`;
}
