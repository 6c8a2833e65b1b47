// Parts of a page of which one is shown.
import { html, useRef, useState } from "./ui.js";

/**
 * The part that is shown, and a function that shows another. It is in the page's address, so that
 * it stays after a reload and for others; the first one has an address without it.
 * @param {{name: string}[]} tabs those that there are by now
 */
export function useChosenTab(tabs) {
  const [wanted, setWanted] = useState(() => new URLSearchParams(location.search).get("tab"));
  const choose = (name) => {
    setWanted(name);
    const address = new URL(location.href);
    if (name === tabs[0].name) address.searchParams.delete("tab");
    else address.searchParams.set("tab", name);
    history.replaceState(history.state, "", address);
  };
  return [(tabs.find(({ name }) => name === wanted) ?? tabs[0]).name, choose];
}

/**
 * The bar that chooses. The parts have the ids `panel-NAME`.
 * @param {object} properties
 * @param {{name: string, title: string, note?: string, bad?: boolean}[]} properties.tabs
 * @param {string} properties.chosen the name of one
 * @param {(name: string) => void} properties.choose
 * @param {string} properties.label
 */
export function Tabs({ tabs, chosen, choose, label }) {
  const bar = useRef(null);
  const pressed = (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const at = tabs.findIndex((tab) => tab.name === chosen);
    const next = (at + steps[event.key] + tabs.length) % tabs.length;
    choose(tabs[next].name);
    bar.current.children[next].focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} ref=${bar} onKeyDown=${pressed}>
    ${tabs.map(
      ({ name, title, note, bad }) => html`<button type="button" role="tab" key=${name} id=${`tab-${name}`}
        aria-controls=${`panel-${name}`} aria-selected=${String(name === chosen)}
        tabindex=${name === chosen ? 0 : -1} onClick=${() => choose(name)}>
        ${title}${note && html` <span class=${bad ? "note bad" : "note"}>${note}</span>`}
      </button>`,
    )}
  </div>`;
}

/** One part. What it holds is kept while another one is shown, once it was shown. */
export function TabPanel({ name, chosen, children }) {
  const was = useRef(false);
  was.current ||= name === chosen;
  return html`<div class="tab-panel" role="tabpanel" id=${`panel-${name}`} aria-labelledby=${`tab-${name}`}
    hidden=${name !== chosen}>${was.current && children}</div>`;
}
