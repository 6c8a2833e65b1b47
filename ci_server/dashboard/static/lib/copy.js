// Copying to the clipboard.
import { html, useState } from "./ui.js";

const SHOWN_MS = 1500;

/**
 * A button that copies a text.
 * @param {object} properties
 * @param {string} properties.name what the button says
 * @param {string | (() => string | Promise<string>)} properties.text
 */
export function CopyButton({ name = "Copy", text }) {
  const [state, setState] = useState(null);
  const copy = async () => {
    try {
      await writeText(typeof text === "function" ? await text() : text);
      setState("Copied");
    } catch (error) {
      setState("Cannot copy");
      console.info(error.message);
    }
    setTimeout(() => setState(null), SHOWN_MS);
  };
  return html`<button type="button" class="copy" onClick=${copy}>
    <span aria-live="polite">${state ?? name}</span>
  </button>`;
}

/** Browsers have a clipboard only on pages that came over https, or from this machine. */
async function writeText(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const field = document.createElement("textarea");
  field.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("the browser does not let pages copy");
}
