// One run: its scores by iteration, live, and its result.
import { idOfPage, pageUrl, request, requestJson } from "../lib/api.js";
import { Chart, colour } from "../lib/chart.js";
import { EventStream } from "../lib/event_stream.js";
import { JobState, isFinal } from "../lib/job_state.js";
import { useLatest } from "../lib/latest.js";
import { Missing } from "../lib/missing.js";
import { number } from "../lib/numbers.js";
import { stateOfRun } from "../lib/run_state.js";
import { Problem, showPage } from "../lib/shell.js";
import { age } from "../lib/time.js";
import { html, useCallback, useEffect, useMemo, useRef, useState } from "../lib/ui.js";

const RUN_ID = idOfPage();
const PATH = `api/v1/runs/${encodeURIComponent(RUN_ID)}`;
const TABLES = [
  ["Most upregulated", "top_upregulated"],
  ["Most downregulated", "top_downregulated"],
  ["Enriched pathways", "enriched_pathways"],
  ["Activated transcription factors", "activated_tfs"],
];
const FILES = [
  ["Predictions", "anndata_url"],
  ["Report", "report_url"],
  ["Log", "log_url"],
];

function RunPage() {
  const [run, setRun] = useState(null);
  const [error, setError] = useState(null);
  const [result, setResult] = useState(null);
  const [scores, setScores] = useState(() => new Map());
  const progress = useRef(null); // the last report, which an answer may be older than
  const asking = useLatest();
  const load = useCallback(async () => {
    const isLatest = asking();
    setError(null);
    try {
      const found = await requestJson(PATH);
      if (!isLatest()) return;
      const isOver = isFinal(stateOfRun(found));
      setRun(progress.current && !isOver ? withProgress(found, progress.current) : found);
      if (found.status === "completed") setResult(await requestJson(`${PATH}/result`));
    } catch (problem) {
      if (isLatest()) setError(problem);
    }
  }, []);
  useEffect(() => {
    load();
  }, []);
  const [connection, setConnection] = useState("open");
  const isKnown = run !== null;
  useEffect(() => {
    if (!isKnown) return undefined;
    const stream = new EventStream(`${PATH}/stream`, {
      onState: setConnection,
      parameters: (id) => (id ? { offset: parseInt(id, 10) } : {}),
      onEvent: (event) => {
        if (event.type === "iteration_end") {
          setScores((before) => new Map(before).set(event.iteration, event.score));
        }
        if (event.type === "status" || event.type === "complete") load();
        else if (event.type === "progress") {
          progress.current = event;
          setRun((before) => before && withProgress(before, event));
        }
        return event.type === "complete";
      },
    });
    return () => stream.close();
  }, [isKnown]);
  if (error && !run) return html`<${NoRun} error=${error} retry=${load} />`;
  if (!run) return null;
  return html`
    <${Head} run=${run} onCancelled=${load} />
    ${error && html`<${Problem} error=${error} retry=${load} />`}
    ${connection === "waiting" && html`<p class="notice" role="status">Reconnecting …</p>`}
    ${run.error_message && html`<pre class="problem" role="alert">${run.error_message}</pre>`}
    <${Scores} run=${run} scores=${scores} />
    ${result && html`<${Result} result=${result} />`}
  `;
}

function NoRun({ error, retry }) {
  const isGone = error.code === "run_not_found";
  const title = isGone ? "There is no such run" : "The run cannot be shown";
  const what = isGone ? "It was deleted, you may not see it, or the link is incomplete." : error.message;
  return html`<${Missing} title=${title} what=${what} code=${error.code} retry=${retry}
    all=${["runs", "All runs"]} />`;
}

const withProgress = (run, { iteration, phase, score, scores, message }) => ({
  ...run,
  current_iteration: iteration ?? run.current_iteration,
  current_phase: phase ?? run.current_phase,
  current_score: score ?? run.current_score,
  grounding_scores: scores ?? run.grounding_scores,
  message: message ?? null,
});

function Head({ run, onCancelled }) {
  const state = stateOfRun(run);
  const [error, setError] = useState(null);
  const cancel = () => {
    setError(null);
    request(`${PATH}/cancel`, { method: "POST" }).then(onCancelled, setError);
  };
  return html`<header class="model-head">
      <h1>Run <code>${run.run_id}</code></h1>
      <${JobState} job=${state} />
      <span class="faint"><bdi>${run.user_email}</bdi>, ${age(run.created_at)}</span>
      <span class="space"></span>
      ${!isFinal(state) && html`<button type="button" onClick=${cancel}>Cancel</button>`}
      <a href=${pageUrl(`jobs/${run.job_id}`)}>Log and settings</a>
    </header>
    ${error && html`<${Problem} error=${error} />`}
    ${!isFinal(state) &&
    html`<p role="status">
      ${run.current_iteration ? `Iteration ${run.current_iteration} of ${run.max_iterations}` : "Not started"}
      ${run.current_phase && `, ${run.current_phase}`}${run.message && html`: <bdi>${run.message}</bdi>`}
    </p>`}`;
}

function Scores({ run, scores }) {
  const data = useMemo(() => {
    const known = [...scores].sort(([a], [b]) => a - b);
    return [known.map(([iteration]) => iteration), known.map(([, score]) => score)];
  }, [scores]);
  const parts = Object.entries(run.grounding_scores ?? {});
  if (!scores.size && !parts.length) return null;
  return html`
    ${scores.size > 0 &&
    html`<${Chart} title="Score by iteration" note=${`at last ${number(data[1].at(-1))}`} data=${data}
      options=${() => ({
        legend: { show: false },
        cursor: { y: false },
        scales: {
          x: { time: false, range: [0.5, Math.max(run.max_iterations ?? 1, data[0].at(-1)) + 0.5] },
          y: { range: (_, __, most) => [0, Math.max(10, most)] },
        },
        series: [{}, { stroke: colour("--accent"), width: 2, points: { show: true, size: 8 } }],
        axes: [{ incrs: [1, 2, 5, 10] }, {}],
      })} />`}
    ${parts.length > 0 &&
    html`<dl class="numbers" aria-label="Scores of the last iteration">
      ${parts.map(
        ([name, score]) => html`<div><dt><bdi>${name}</bdi></dt><dd>${number(score)}</dd></div>`,
      )}
    </dl>`}
  `;
}

function Result({ result }) {
  const facts = [
    ["Score", number(result.grounding_score)],
    ["Ended because", result.termination_reason ?? "–"],
    ["Differentially expressed genes", number(result.num_de_genes)],
    ["Control strategy", result.control_strategy_effective ?? "–"],
  ];
  return html`
    <h2>Result</h2>
    <dl class="numbers">
      ${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd><bdi>${value}</bdi></dd></div>`)}
    </dl>
    <p>
      ${FILES.filter(([, key]) => result[key]).map(
        ([name, key]) => html`<a class="file" href=${result[key]}>${name}</a> `,
      )}
    </p>
    ${TABLES.filter(([, key]) => result[key].length).map(
      ([title, key]) => html`<${Rows} title=${title} rows=${result[key]} />`,
    )}
  `;
}

/** Objects as a table: a column for each key that one of them has. */
function Rows({ title, rows }) {
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const cell = (value) =>
    typeof value === "number" ? number(value) : typeof value === "object" ? JSON.stringify(value) : String(value ?? "");
  return html`<h3>${title}</h3>
    <div class="table-place" tabindex="0" role="region" aria-label=${title}>
      <table class="paged">
        <thead><tr>${columns.map((name) => html`<th scope="col"><bdi>${name}</bdi></th>`)}</tr></thead>
        <tbody>
          ${rows.map(
            (row) => html`<tr>${columns.map((name) => html`<td><bdi>${cell(row[name])}</bdi></td>`)}</tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}

showPage(RunPage);
