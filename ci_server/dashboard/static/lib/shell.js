// What every page has around its own content: the bar at the top, the list of keys, the notices.
import { ROOT, loginUrl, pageUrl } from "./api.js";
import { useKeys } from "./keys.js";
import { SignedIn } from "./signed_in.js";
import { signedOut } from "./signed_out.js";
import { useStore } from "./store.js";
import { sentence } from "./text.js";
import { html, render, useRef, useState } from "./ui.js";

const KEYS_OF_ALL = [
  ["?", "show this list"],
  ["g", "go to the list of jobs"],
];
const PAGES = [
  ["", "Jobs"],
  ["models", "Models"],
  ["runs", "Runs"],
];
const THEMES = ["system", "light", "dark"];

/**
 * Show a page.
 * @param {Function} Content the component that is the page's own
 * @param {[string, string][]} keys what the page's own keys do, for the list of keys
 */
export function showPage(Content, keys = []) {
  render(html`<${Shell} keys=${keys}><${Content} /><//>`, document.getElementById("page"));
}

function Shell({ keys, children }) {
  const dialog = useRef(null);
  useKeys({
    "?": () => dialog.current.showModal(),
    g: () => location.assign(pageUrl()),
  });
  return html`
    <a class="skip" href="#content">Skip to the content</a>
    <header class="bar">
      <a class="brand" href=${pageUrl()}>CI runner</a>
      <nav aria-label="Pages">${PAGES.map(
        ([path, title]) => html`<a href=${pageUrl(path)} aria-current=${isHere(path) ? "page" : undefined}>${title}</a>`,
      )}</nav>
      <span class="space"></span>
      <${SignedIn} />
      <${ThemeChoice} />
      <button type="button" title="Keys (?)" onClick=${() => dialog.current.showModal()}>
        <span aria-hidden="true">?</span><span class="unseen">Keys</span>
      </button>
    </header>
    <${SessionNotice} />
    <main id="content" tabindex="-1">${children}</main>
    <dialog ref=${dialog} aria-label="Keys">
      <h2>Keys</h2>
      <dl class="keys">
        ${[...keys, ...KEYS_OF_ALL].map(
          ([key, what]) => html`<dt><kbd>${key}</kbd></dt>
            <dd>${what}</dd>`,
        )}
      </dl>
      <form method="dialog"><button autofocus>Close</button></form>
    </dialog>
  `;
}

/** That the session has ended, and the way to a new one. */
function SessionNotice() {
  const { reason } = useStore(signedOut);
  if (reason === null) return null;
  const lead = (event) => (event.currentTarget.href = loginUrl()); // with the lines that are selected
  return html`<p class="session-notice" role="alert">
    <strong>${sentence(reason)}</strong><span>This page is no longer updated.</span>
    <a class="button" href=${loginUrl()} onClick=${lead}>Sign in</a>
  </p>`;
}

/** Whether a page of this kind is shown. */
function isHere(path) {
  const [, kind = ""] = location.pathname.slice(ROOT.pathname.length).split("/");
  return kind === path || (path === "" && kind === "jobs");
}

function ThemeChoice() {
  const [theme, setTheme] = useState(localStorage.getItem("theme") ?? "system");
  const choose = (event) => {
    const chosen = event.target.value;
    setTheme(chosen);
    localStorage.setItem("theme", chosen);
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
  };
  return html`<label
    ><span class="unseen">Colours</span>
    <select value=${theme} onChange=${choose}>
      ${THEMES.map((each) => html`<option value=${each}>${each}</option>`)}
    </select></label
  >`;
}

/** An error, with what can be done about it. */
export function Problem({ error, retry }) {
  return html`<div class="problem" role="alert">
    <strong>${error.message}</strong>
    ${error.code && html` <code>${error.code}</code>`}
    ${retry && html` <button type="button" onClick=${retry}>Try again</button>`}
  </div>`;
}
