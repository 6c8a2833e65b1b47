// Keys of the keyboard that pages react to.
import { useLayoutEffect } from "./ui.js";

const isTyping = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

/**
 * While the component is shown, call `handlers[key]` when a key is pressed alone, outside of a
 * field or dialog. "Escape" is told from within fields, too.
 */
export function useKeys(handlers) {
  useLayoutEffect(() => {
    const pressed = (event) => {
      if (document.querySelector("dialog[open]")) return; // its own keys
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (isTyping(event.target) && event.key !== "Escape") return;
      const handler = handlers[event.key];
      if (!handler) return;
      event.preventDefault();
      handler(event);
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  });
}
