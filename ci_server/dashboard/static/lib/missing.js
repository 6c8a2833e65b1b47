// What stands in place of something that cannot be shown.
import { pageUrl } from "./api.js";
import { html } from "./ui.js";

/**
 * @param {object} properties
 * @param {string} properties.title
 * @param {string} properties.what happened, as a sentence
 * @param {string} [properties.code] of the error
 * @param {() => void} [properties.retry]
 * @param {[string, string]} [properties.all] the page of all such things, and what it is called
 */
export function Missing({ title, what, code, retry, all: [path, name] = ["", "All jobs"] }) {
  return html`<section class="missing">
    <h1>${title}</h1>
    <p role="alert">${what}${code && html` <code>${code}</code>`}</p>
    <p class="ways">
      ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
      <a href=${pageUrl(path)}>${name}</a>
    </p>
  </section>`;
}
