// The log of a job with what belongs to it: its toolbar, its search, its notices.
import { CopyButton } from "../lib/copy.js";
import { apiUrl } from "../lib/api.js";
import { useKeys } from "../lib/keys.js";
import { Problem } from "../lib/shell.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/ui.js";
import { followJob } from "./feed.js";
import { hashOf, placeOf } from "./place.js";
import { SearchBar, useSearch } from "./search_bar.js";
import { LogView } from "./view.js";

const AFTER_DRAWING_MS = 200;
const NO_KEYS = {};

/** What the keys do while a log is shown, for the list of keys. */
export const LOG_KEYS = [
  ["/", "search the log"],
  ["n", "next hit; N: previous hit"],
  ["G", "go to the end, and follow the log"],
  ["Home", "go to the beginning"],
  ["w", "wrap long lines"],
  ["t", "show when lines were received"],
];

/**
 * @param {object} properties
 * @param {string} properties.path of the job in the API
 * @param {boolean} properties.live whether the log may still grow
 * @param {number | null} properties.size how long it is, once it will not grow
 * @param {boolean} properties.hidden whether another part of the page is shown
 * @param {(event: object) => void} properties.onEvent gets what is told of the job besides its log
 * @param {string | null} properties.find text to be searched for
 * @param {() => void} properties.onShown called when the log is drawn for the first time
 */
export function LogPanel({ path, live, size, hidden, onEvent, find, onShown }) {
  const [log, setLog] = useState(null);
  const { element, view, error, open } = useLogView(`${path}/logs`, setLog);
  const connection = useFeed(view, path, live, size, onEvent);
  const search = useSearch(`${path}/logs`, view, find);
  usePlace(view, log);
  useEffect(() => {
    if (view) setTimeout(onShown, AFTER_DRAWING_MS);
  }, [view]);
  useLogKeys(view, log, search, hidden);
  return html`<section class="log-panel" aria-label="Log of the job" hidden=${hidden}>
    <${Toolbar} path=${path} view=${view} log=${log} search=${search}
      live=${live && connection !== "ended"} />
    ${error && html`<${Problem} error=${error} retry=${open} />`}
    ${log?.error && html`<p class="notice" role="status">${log.error.message} Trying again …</p>`}
    ${log?.notice && html`<p class="notice" role="status">${log.notice}</p>`}
    ${connection === "waiting" && html`<p class="notice" role="status">Reconnecting …</p>`}
    ${view && log?.size === 0 && html`<p class="faint">${live ? "No output yet." : "The log is empty."}</p>`}
    <div class="log-place" ref=${element}></div>
  </section>`;
}

function useLogView(path, setLog) {
  const element = useRef(null);
  const [view, setView] = useState(null);
  const [error, setError] = useState(null);
  const open = async () => {
    setError(null);
    const made = new LogView(element.current, { path, onChange: setLog });
    try {
      await made.open();
      setView(made);
    } catch (problem) {
      made.close();
      setError(problem);
    }
  };
  useLayoutEffect(() => {
    open(); // it was asked for early, and need not wait for what is painted
  }, []);
  useEffect(() => () => view?.close(), [view]);
  return { element, view, error, open };
}

/**
 * Follow the job to the end of its stream. That may come after other requests have told that the job
 * is over; and one that was over at the first look may have had more to say since its log was read.
 */
function useFeed(view, path, live, size, onEvent) {
  const [connection, setConnection] = useState("open");
  const isFollowed = useRef(false);
  isFollowed.current ||= view !== null && (live || size > view.size);
  useEffect(() => {
    if (!isFollowed.current) return undefined;
    const stream = followJob(path, view.size, {
      onLog: (offset, bytes) => view.append(offset, bytes),
      onEvent,
      onState: setConnection,
    });
    return () => {
      setConnection("open");
      stream.close();
    };
  }, [view, isFollowed.current]);
  return connection;
}

/** Lines in the address are selected, and the selected lines are in the address. */
function usePlace(view, log) {
  // Before the log is painted: later it would undo what its reader chose by then.
  useLayoutEffect(() => {
    if (!view) return undefined;
    const show = () => {
      const place = placeOf(location.hash);
      if (place) view.select(place);
    };
    show();
    addEventListener("hashchange", show);
    return () => removeEventListener("hashchange", show);
  }, [view]);
  const selected = log?.selected;
  useLayoutEffect(() => {
    if (selected && hashOf(selected) !== location.hash)
      history.replaceState(null, "", hashOf(selected));
  }, [selected]);
}

function useLogKeys(view, log, search, hidden) {
  const keys = {
    "/": () => search.focus(),
    n: () => search.go(1),
    N: () => search.go(-1),
    G: () => view.follow(true),
    End: () => view.follow(true),
    Home: () => view.toStart(),
    w: () => view.setWrap(!log.wrap),
    t: () => view.setTimes(!log.times),
    Escape: () => search.clear(),
  };
  useKeys(view && !hidden ? keys : NO_KEYS);
}

function Toolbar({ path, view, log, search, live }) {
  return html`<div class="log-bar" role="toolbar" aria-label="Log">
    <${SearchBar} search=${search} />
    <span class="space"></span>
    ${log?.selected && html`<${Selection} view=${view} selected=${log.selected} />`}
    <${Toggle} on=${log?.wrap} set=${(on) => view?.setWrap(on)} name="Wrap" title="Wrap long lines (w)" />
    <${Toggle} on=${log?.times} set=${(on) => view?.setTimes(on)} name="Times"
      title="When lines were received (t)" />
    <a class="button" href=${apiUrl(`${path}/logs`)} download=${`${path.split("/").at(-1)}.log`}>Download</a>
    <a class="button" href=${apiUrl(`${path}/logs`)}>Raw</a>
    <button type="button" class="follow" aria-pressed=${String(Boolean(log?.following))}
      title="Go to the end (G)" onClick=${() => view?.follow(true)}>
      ${live ? (log?.following ? "Following" : "Follow ↓") : "End ↓"}
    </button>
  </div>`;
}

function Toggle({ on, set, name, title }) {
  return html`<button type="button" aria-pressed=${String(Boolean(on))} title=${title}
    onClick=${() => set(!on)}>${name}</button>`;
}

function Selection({ view, selected }) {
  return html`
    <${CopyButton} name="Copy lines" text=${() => view.selectedLines()} />
    <${CopyButton} name="Copy link" text=${() => new URL(hashOf(selected), location.href).href} />
  `;
}
