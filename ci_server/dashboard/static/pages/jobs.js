// The list of jobs, live.
import { pageUrl } from "../lib/api.js";
import { UploadIcon } from "../lib/icons.js";
import { readFilter, writeFilter } from "../lib/job_filter.js";
import { JobList } from "../lib/job_list.js";
import { JobQuestion } from "../lib/job_question.js";
import { isFinal } from "../lib/job_state.js";
import { JobTrends } from "../lib/job_trends.js";
import { useKeys } from "../lib/keys.js";
import { Problem, showPage } from "../lib/shell.js";
import { useStore } from "../lib/store.js";
import { html, useCallback, useEffect, useRef, useState } from "../lib/ui.js";
import { mayRunAgain, maySubmit, useCaller, whyNotSubmit } from "../lib/caller.js";
import { Empty } from "./jobs/empty.js";
import { FilterBar } from "./jobs/filter_bar.js";
import { Done } from "./jobs/job_actions.js";
import { JobRow } from "./jobs/job_row.js";
import { DropZone, SubmitDialog } from "./jobs/submit_dialog.js";

const DONE_MS = 8_000;

const list = new JobList();
const trends = new JobTrends();
list.subscribe(() => trends.want(list.jobs));
let leftFrom = history.state?.job; // the id of the job that had the focus when the page was left
list.start(readFilter(location.search), history.state?.count);
addEventListener("popstate", () => list.show(readFilter(location.search)));
addEventListener("pagehide", () => {
  history.replaceState({ count: list.jobs.length, job: focusedJob()?.job_id }, "");
});

/** Change the filter; `goesOn` with what the last change began, such as a word that is typed. */
function go(change, goesOn = false) {
  const filter = { ...list.filter, ...change };
  const address = pageUrl() + writeFilter(filter);
  history[goesOn ? "replaceState" : "pushState"](null, "", address);
  list.show(filter);
}

function JobsPage() {
  useStore(list);
  useStore(trends);
  const caller = useCaller();
  const [asked, setAsked] = useState(null);
  const [done, setDone] = useDone();
  const [file, setFile] = useState(undefined); // null: the form is open without a file
  const searchField = useRef(null);
  useKeys({
    "/": () => searchField.current.focus(),
    j: () => moveFocus(1),
    k: () => moveFocus(-1),
    n: () => maySubmit(caller) && setFile(null),
    r: () => {
      const job = focusedJob();
      if (job && isFinal(job) && mayRunAgain(caller, job)) setAsked({ job, what: "rerun" });
    },
  });
  const shown = list.state;
  useEffect(() => {
    if (shown === "ready") returnFocus();
  }, [shown]);
  const onFile = useCallback((dropped) => setFile(dropped), []);
  const onDone = (job, what) => {
    list.touch(job.job_id);
    setAsked((now) => (now === asked ? null : now)); // it may be the next question by now
    setDone({ job, what });
  };
  return html`
    <header class="head">
      <h1>Jobs</h1>
      <${Connection} />
      <span class="space"></span>
      <${SubmitButton} caller=${caller} onClick=${() => setFile(null)} />
    </header>
    <${FilterBar} filter=${list.filter} go=${go} searchField=${searchField} />
    <${Jobs} caller=${caller} ask=${setAsked} />
    <div class="done" role="status"><${Done} done=${done} /></div>
    ${asked && html`<${JobQuestion} asked=${asked} onDone=${onDone} onClose=${() => setAsked(null)} />`}
    <${DropZone} caller=${caller} onFile=${onFile} />
    ${file !== undefined && html`<${SubmitDialog} file=${file} onClose=${() => setFile(undefined)} />`}
  `;
}

function SubmitButton({ caller, onClick }) {
  if (caller === null) return null;
  if (!maySubmit(caller)) return html`<span class="faint">${whyNotSubmit(caller)}</span>`;
  return html`<button type="button" class="primary" title="Submit a zip (n)" onClick=${onClick}>
    <${UploadIcon} /> Submit
  </button>`;
}

function Connection() {
  if (list.connection === "closed") return null;
  const isOpen = list.connection === "open";
  return html`<span class=${isOpen ? "live" : "live live-lost"} role="status"
    >${isOpen ? "Live" : "Reconnecting…"}</span
  >`;
}

function Jobs({ caller, ask }) {
  const { jobs, state, error } = list;
  if (error) {
    const retry = () => (list.connection === "closed" ? location.reload() : list.load());
    return html`<${Problem} error=${error} retry=${retry} />`;
  }
  if (!jobs.length) {
    return state === "ready" && html`<${Empty} filter=${list.filter} go=${go} caller=${caller} />`;
  }
  const rows = jobs.map((job) => {
    const isFresh = list.fresh.has(job.job_id);
    return drawn(job, { trend: trends.of(job), caller, filter: list.filter, go, ask, isFresh });
  });
  return html`
    <table class="jobs" role="table" aria-label="Jobs" aria-busy=${String(state === "loading")}>
      <thead role="rowgroup">
        <tr role="row" class="columns">
          ${["State", "Job", "Last 20", "User", "Time"].map(
            (title) => html`<th role="columnheader" scope="col">${title}</th>`,
          )}
          <th role="columnheader" scope="col"><span class="unseen">Action</span></th>
        </tr>
      </thead>
      <tbody role="rowgroup">${rows}</tbody>
    </table>
    <${Older} />
  `;
}

const rowsOfJobs = new WeakMap();

/** The row of a job; the same as before if nothing changed, so that it is not compared again. */
function drawn(job, facts) {
  const before = rowsOfJobs.get(job);
  const isSame = before && Object.keys(facts).every((name) => before.facts[name] === facts[name]);
  if (isSame) return before.row;
  const row = html`<${JobRow} key=${job.job_id} job=${job} ...${facts} />`;
  rowsOfJobs.set(job, { facts, row });
  return row;
}

function Older() {
  if (list.moreError) return html`<${Problem} error=${list.moreError} retry=${() => list.loadMore()} />`;
  if (!list.hasMore) return html`<p class="end faint">No older jobs.</p>`;
  return html`<p class="end">
    <button type="button" disabled=${list.loadingMore} onClick=${() => list.loadMore()}>
      ${list.loadingMore ? "Loading…" : "Load older jobs"}
    </button>
  </p>`;
}

function useDone() {
  const [done, setDone] = useState(null);
  useEffect(() => {
    if (done === null) return undefined;
    const timer = setTimeout(() => setDone(null), DONE_MS);
    return () => clearTimeout(timer);
  }, [done]);
  return [done, setDone];
}

/** To the next job of the list, or the one before. */
function moveFocus(step) {
  const links = [...document.querySelectorAll(".job-link")];
  const now = links.indexOf(document.activeElement);
  const next = now === -1 ? (step > 0 ? 0 : links.length - 1) : now + step;
  links[Math.min(Math.max(next, 0), links.length - 1)]?.focus();
}

/** To the job that the reader comes back from, unless the focus is somewhere already. For when the
 * list is shown, which is later than when it is there. */
function returnFocus() {
  if (leftFrom === undefined) return;
  const rows = [...document.querySelectorAll("[data-job]")];
  const row = rows.find((each) => each.dataset.job === leftFrom);
  if (document.activeElement === document.body) row?.querySelector(".job-link").focus();
  leftFrom = undefined;
}

/** The job whose row has the focus. */
function focusedJob() {
  const row = document.activeElement?.closest("[data-job]");
  return row && list.jobs.find((job) => job.job_id === row.dataset.job);
}

showPage(JobsPage, [
  ["/", "search"],
  ["j", "next job"],
  ["k", "previous job"],
  ["Enter", "open the job"],
  ["r", "run the job again"],
  ["n", "submit a zip"],
]);
