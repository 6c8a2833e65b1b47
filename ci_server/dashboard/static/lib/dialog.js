// A dialog that is open as long as it is shown.
import { html, useLayoutEffect, useRef } from "./ui.js";

/** `onClose` is called when the reader closes it, also with Escape. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  const isShown = useRef(true);
  useLayoutEffect(() => {
    const [element, before] = [dialog.current, document.activeElement];
    element.showModal();
    return () => {
      isShown.current = false;
      element.close(); // while it is open, nothing else takes the focus
      if (before?.isConnected) before.focus();
    };
  }, []);
  // The event comes later: another dialog may be shown by then in place of one that was taken away.
  const closed = () => isShown.current && onClose();
  return html`<dialog class="dialog" ref=${dialog} aria-labelledby="dialog-title" onClose=${closed}>
    <h2 id="dialog-title">${title}</h2>
    ${children}
  </dialog>`;
}
