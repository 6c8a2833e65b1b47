// A valuation by the calculation engine: its statistics and charts.
import { apiUrl, encodedPath, idOfPage, pageUrl } from "../lib/api.js";
import { EventStream } from "../lib/event_stream.js";
import { JobState, isFinal } from "../lib/job_state.js";
import { number } from "../lib/numbers.js";
import { Problem, showPage } from "../lib/shell.js";
import { bytes } from "../lib/sizes.js";
import { age, duration, ranSeconds } from "../lib/time.js";
import { html, useEffect, useRef, useState } from "../lib/ui.js";
import { useJob } from "../job/live_job.js";
import { NoJob } from "../job/no_job.js";
import { CashFlows, Convergence, Distribution } from "../models/charts.js";
import { useResults } from "../models/results.js";

const JOB_ID = idOfPage();
const PATH = `jobs/${encodeURIComponent(JOB_ID)}`;
const LONGEST_LINE = 64 << 10; // of a report
const PROGRESS = /^::progress (\{.*\})\s*$/gm;

function ModelPage() {
  const { job, error, onEvent, load } = useJob(PATH);
  const [progress, setProgress] = useState(null);
  const line = useRef(""); // the last line of the log, which may go on in the next event
  const [found, problem, again] = useResults(JOB_ID, job !== null && isFinal(job));
  const isLive = job !== null && !isFinal(job);
  useEffect(() => {
    if (!isLive) return undefined;
    const stream = new EventStream(`${PATH}/stream`, {
      parameters: (id) => (id ? { offset: parseInt(id, 10) } : {}),
      onEvent: (event) => {
        if (event.type === "log") {
          const text = line.current + event.data;
          line.current = text.slice(text.lastIndexOf("\n") + 1).slice(0, LONGEST_LINE);
          setProgress((before) => progressIn(text) ?? before);
        } else onEvent(event);
        return event.type === "complete";
      },
    });
    return () => stream.close();
  }, [isLive]);
  useEffect(() => {
    if (job) document.title = `${job.title ?? job.name ?? JOB_ID} · CI runner`;
  }, [job]);
  if (error && !job) return html`<${NoJob} error=${error} retry=${load} all=${["models", "All models"]} />`;
  if (!job) return null;
  return html`
    <header class="model-head">
      <h1><bdi>${job.title ?? job.name ?? JOB_ID}</bdi></h1>
      <${JobState} job=${job} />
      <span class="faint"><bdi>${job.user}</bdi>, ${age(job.submit_time)}${ran(job)}</span>
      <span class="space"></span>
      <a href=${pageUrl(PATH)}>Log and settings</a>
    </header>
    ${error && html`<${Problem} error=${error} retry=${load} />`}
    ${!isFinal(job) && html`<${Progress} progress=${progress} />`}
    ${problem && html`<${Problem} error=${problem} retry=${again} />`}
    ${found && html`<${Results} job=${job} found=${found} />`}
  `;
}

const ran = (job) => (ranSeconds(job) === null ? "" : `, ${duration(ranSeconds(job))}`);

/** The last report of progress in a piece of the log; null without one. */
function progressIn(text) {
  let last = null;
  for (const [, report] of text.matchAll(PROGRESS)) {
    try {
      last = JSON.parse(report);
    } catch {
      // A line that only looks like a report.
    }
  }
  return last;
}

function Progress({ progress }) {
  if (!progress?.total) return html`<p role="status">No progress has been reported yet.</p>`;
  const label = `${progress.phase ?? "Progress"}: ${progress.current} of ${progress.total}`;
  return html`<p class="model-progress" role="status">
    <progress value=${progress.current} max=${progress.total} aria-label=${label}></progress>
    ${label}
  </p>`;
}

function Results({ job, found }) {
  const { results, values, flows, files } = found;
  if (!results?.statistics) {
    return html`<p>
      This job left no results of the calculation engine${job.message && html`: ${job.message}`}.
    </p>`;
  }
  const { statistics } = results;
  return html`
    ${results.warnings?.length > 0 &&
    html`<ul class="warnings" aria-label="Warnings">
      ${results.warnings.map((text) => html`<li>${text}</li>`)}
    </ul>`}
    <${Numbers} results=${results} statistics=${statistics} />
    ${values?.length > 0 &&
    html`<${Distribution} values=${values} statistics=${statistics} />
      <${Convergence} values=${values} />`}
    ${flows && html`<${CashFlows} flows=${flows} />`}
    <${Files} files=${files} />
  `;
}

function Numbers({ results, statistics }) {
  const shown = [
    ["Mean", statistics.mean_npv],
    ["CTE 95", statistics.cte_95],
    ["Standard deviation", statistics.std_dev],
    ["Lowest", statistics.min],
    ...Object.entries(statistics.percentiles ?? {}),
    ["Highest", statistics.max],
    ["Policies", results.policy_count],
    ["Scenarios", results.scenario_count],
  ];
  return html`<dl class="numbers">
      ${shown.map(([name, value]) => html`<div><dt>${name}</dt><dd>${number(value)}</dd></div>`)}
    </dl>
    <p class="faint">Result hash <code class="hash">${results.result_hash}</code></p>`;
}

function Files({ files }) {
  return html`<h2>Files</h2>
    <ul class="files">
      ${files.map(
        ({ path, size }) => html`<li>
          <a href=${apiUrl(`${PATH}/artifacts/${encodedPath(path)}`)}>
            <bdi>${path}</bdi></a> <span class="faint">${bytes(size)}</span>
        </li>`,
      )}
    </ul>`;
}

showPage(ModelPage);
