// The search over a log: its field, its hits, and going through them.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/ui.js";
import { patternOf, searchLog } from "./search.js";

const NOTHING = { hits: [], searched: 0, done: true, truncated: false };

/** The state of the search over the log of a view. `find` is searched for when it changes. */
export function useSearch(path, view, find) {
  const field = useRef(null);
  const running = useRef(null);
  const [query, setQuery] = useState("");
  const [found, setFound] = useState(NOTHING);
  const [error, setError] = useState(null);
  const [current, setShown] = useState(-1);
  const at = useRef(-1); // the same, for keys that are faster than the page

  const setCurrent = (index) => {
    at.current = index;
    setShown(index);
  };
  const show = (hits, index) => {
    setCurrent(index);
    const { offset, line_offset: line } = hits[index];
    view.select({ from: line, to: line }, { at: offset });
  };
  const run = async (wanted) => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    setQuery(wanted);
    setError(null);
    setCurrent(-1);
    setFound({ ...NOTHING, done: !wanted });
    if (!view) return; // it begins when the log is here
    view.setQuery(patternOf(wanted));
    if (!wanted) return;
    let shown = false;
    try {
      await searchLog(path, wanted, abort.signal, (news) => {
        if (abort.signal.aborted) return;
        setFound(news);
        if (!shown && news.hits.length) {
          shown = true;
          show(news.hits, 0);
        }
      });
    } catch (problem) {
      if (!abort.signal.aborted) setError(problem);
    }
  };
  useEffect(() => {
    if (find?.text) run(find.text);
  }, [find]);
  useEffect(() => {
    if (view && query) run(query);
  }, [view]);
  return {
    field,
    query,
    found,
    error,
    current,
    run,
    show: (index) => show(found.hits, index),
    focus: () => field.current?.select(),
    /** To the log, where n and N are keys. */
    leave: () => view?.focus(),
    clear: () => {
      if (field.current) field.current.value = "";
      if (query) run("");
      if (document.activeElement === field.current) view?.focus();
    },
    go: (step) => {
      const { length } = found.hits;
      if (length) show(found.hits, (at.current + step + length) % length);
    },
  };
}

export function SearchBar({ search }) {
  const { field, query, found, error, current } = search;
  const submit = (event) => {
    event.preventDefault();
    const wanted = field.current.value;
    search.leave();
    const isOver = error || (found.done && !found.hits.length);
    if (wanted === query && !isOver) search.go(1);
    else search.run(wanted); // also again: the log may have grown, or the server be back
  };
  useLayoutEffect(() => {
    if (field.current && query) field.current.value = query;
  }, [query]);
  return html`<form class="search" role="search" onSubmit=${submit}>
    <label><span class="unseen">Search the log</span>
      <input type="search" ref=${field} placeholder="Search the log" maxlength="256" autocomplete="off"
        spellcheck="false" onSearch=${(event) => !event.target.value && search.clear()} />
    </label>
    ${query && html`<span class="count" role="status">${countOf(found, current, error)}</span>
      <button type="button" title="Previous hit (N)" disabled=${!found.hits.length}
        onClick=${() => search.go(-1)}><span aria-hidden="true">↑</span><span class="unseen">Hit before</span></button>
      <button type="button" title="Next hit (n)" disabled=${!found.hits.length}
        onClick=${() => search.go(1)}><span aria-hidden="true">↓</span><span class="unseen">Next hit</span></button>`}
    ${query && found.hits.length > 0 && html`<${Hits} search=${search} />`}
  </form>`;
}

function countOf({ hits, searched, done, truncated }, current, error) {
  if (error) return error.message;
  const many = `${hits.length}${truncated ? "+" : ""}`;
  if (!done) return `${many} … ${Math.floor(searched * 100)} %`;
  if (!hits.length) return "no hits";
  return current < 0 ? `${many} hits` : `${current + 1} of ${many}`;
}

function Hits({ search }) {
  const { hits, truncated } = search.found;
  return html`<details class="hits">
    <summary>List</summary>
    <ol>
      ${hits.map(
        (hit, index) => html`<li key=${hit.offset}>
          <button type="button" aria-current=${index === search.current ? "true" : undefined}
            onClick=${() => search.show(index)}>
            <span class="number">${hit.line}</span>
            <span class="line">${hit.before_cut ? "…" : ""}${hit.before}<mark>${hit.match}</mark>${hit.after}</span>
          </button>
        </li>`,
      )}
    </ol>
    ${truncated && html`<p class="faint">Only the first ${hits.length} hits are listed.</p>`}
  </details>`;
}
