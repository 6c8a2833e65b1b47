// What the list shows: a search, outcomes, and the other filters.
import { CloseIcon, FilterIcon, SearchIcon } from "../../lib/icons.js";
import { NO_FILTER, OUTCOMES, PERIODS, isFiltered } from "../../lib/job_filter.js";
import { html, useLayoutEffect, useRef, useState } from "../../lib/ui.js";
import { FilterLink } from "./filter_link.js";

const TYPING_MS = 300;

/** `go` gets a change of the filter, and whether it goes on with the last one. */
export function FilterBar({ filter, go, caller, searchField }) {
  const [isOpen, setOpen] = useState(false);
  const only = { filter, go };
  return html`
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <div class="search">
        <${SearchIcon} />
        <${TextField} label="Search jobs" name="q" field=${searchField} type="search" maxlength="256"
          placeholder="Search names, commands, labels, messages" ...${only} />
        <kbd aria-hidden="true">/</kbd>
      </div>
      <nav class="outcomes" aria-label="Outcome">
        ${["", ...OUTCOMES].map(
          (outcome) => html`<${FilterLink} key=${outcome} change=${{ outcome }}
            aria-current=${filter.outcome === outcome ? "true" : null} ...${only}
            >${outcome || "all"}<//>`,
        )}
      </nav>
      <${FilterLink} class="toggle" change=${{ mine: !filter.mine }}
        aria-current=${filter.mine ? "true" : null} ...${only}>mine<//>
      <button type="button" class="toggle" aria-expanded=${String(isOpen)} aria-controls="more-filters"
        onClick=${() => setOpen(!isOpen)}><${FilterIcon} /> Filters</button>
    </form>
    <div id="more-filters" class="more-filters" hidden=${!isOpen}>
      ${isOpen && html`<${MoreFilters} ...${only} />`}
    </div>
    <${Chips} caller=${caller} ...${only} />
  `;
}

function MoreFilters({ filter, go }) {
  const only = { filter, go };
  const choosePeriod = (event) => go({ within: event.target.value, since: "", until: "" });
  return html`
    <label>User <${TextField} label="User" name="user" maxlength="256" ...${only} /></label>
    <label>Name <${TextField} label="Name" name="name" maxlength="256" ...${only} /></label>
    <${LabelField} ...${only} />
    <label>Submitted
      <select value=${filter.within} onChange=${choosePeriod}>
        <option value="">at any time</option>
        ${PERIODS.map(([name, , words]) => html`<option value=${name}>in ${words}</option>`)}
      </select>
    </label>
    <${TimeField} label="From" name="since" ...${only} />
    <${TimeField} label="Until" name="until" ...${only} />
  `;
}

/** A field of a filter, which waits for the end of typing. The address gets one entry for it. */
function TextField({ label, name, filter, go, field, ...others }) {
  const [typed, setTyped] = useState(filter[name]); // with the spaces that the filter does not have
  const [isSame, setSame] = useState(false); // whether typing goes on
  const timer = useRef(null);
  const stop = () => {
    clearTimeout(timer.current);
    timer.current = null;
  };
  const tell = (text) => {
    stop();
    if (text.trim() !== filter[name]) {
      go({ [name]: text.trim() }, isSame);
      setSame(true);
    }
  };
  const input = (event) => {
    const text = event.target.value;
    setTyped(text);
    stop();
    timer.current = setTimeout(() => tell(text), TYPING_MS);
  };
  useLayoutEffect(() => {
    if (typed.trim() === filter[name]) return;
    stop(); // the filter was changed by something else, which is newer
    setTyped(filter[name]);
  }, [filter[name]]);
  useLayoutEffect(() => stop, []);
  return html`<input
    ref=${field}
    aria-label=${label}
    value=${typed}
    onInput=${input}
    onChange=${(event) => timer.current !== null && tell(event.target.value)}
    onKeyDown=${(event) => event.key === "Escape" && event.target.blur()}
    onBlur=${() => setSame(false)}
    autocomplete="off"
    spellcheck="false"
    ...${others}
  />`;
}

function LabelField({ filter, go }) {
  const [problem, setProblem] = useState("");
  const add = (event) => {
    const label = event.target.value.trim();
    if (!label) return setProblem("");
    if (!label.includes(":")) return setProblem("Write it as key:value");
    setProblem("");
    event.target.value = "";
    return go({ labels: [...new Set([...filter.labels, label])] });
  };
  return html`<label>Label
    <input aria-label="Label" placeholder="key:value" maxlength="320" autocomplete="off" spellcheck="false"
      onChange=${add} aria-describedby="label-problem" aria-invalid=${String(Boolean(problem))} />
    <span id="label-problem" class="field-problem">${problem}</span>
  </label>`;
}

function TimeField({ label, name, filter, go }) {
  return html`<label>${label}
    <input type="datetime-local" value=${filter[name]}
      onChange=${(event) => go({ [name]: event.target.value, within: "" })} />
  </label>`;
}

/** What is filtered by, each with a way to take it away. */
function Chips({ filter, go }) {
  const chips = [
    ...["user", "name", "since", "until"]
      .filter((name) => filter[name])
      .map((name) => [name, filter[name].replace("T", " "), { [name]: "" }]),
    ...(filter.within
      ? [["in", PERIODS.find(([name]) => name === filter.within)[2], { within: "" }]]
      : []),
    ...filter.labels.map((label) => [
      "label",
      label,
      { labels: filter.labels.filter((each) => each !== label) },
    ]),
  ];
  if (!isFiltered(filter)) return null;
  return html`<ul class="chips" aria-label="Filters in use">
    ${chips.map(
      ([kind, words, change]) => html`<li key=${kind + words} class="chip">
        <span class="faint">${kind}</span> <bdi>${words}</bdi>
        <button type="button" aria-label=${`Remove ${kind} ${words.slice(0, 80)}`} onClick=${() => go(change)}>
          <${CloseIcon} />
        </button>
      </li>`,
    )}
    <li><button type="button" class="link" onClick=${() => go(NO_FILTER)}>Clear all filters</button></li>
  </ul>`;
}
