// One job: what it is, its log, and what it left.
import { ROOT, pageUrl } from "../lib/api.js";
import { JobDetails } from "../job/details.js";
import { JobHead } from "../job/head.js";
import { useJob } from "../job/live_job.js";
import { isFinal, stateOf } from "../lib/job_state.js";
import { Problem, showPage } from "../lib/shell.js";
import { TabPanel, Tabs } from "../lib/tabs.js";
import { html, useEffect, useState } from "../lib/ui.js";
import { LOG_KEYS, LogPanel } from "../log/panel.js";

const JOB_ID = decodeURIComponent(location.pathname.slice(ROOT.pathname.length).split("/")[2]);
const PATH = `jobs/${encodeURIComponent(JOB_ID)}`;

function JobPage() {
  const { job, error, load, setJob, onEvent } = useJob(PATH);
  const [chosen, setChosen] = useState("log");
  useTitle(job);
  if (error && !job) return html`<${NoJob} error=${error} retry=${load} />`;
  return html`
    ${job && html`<${JobHead} job=${job} onChange=${setJob} />`}
    ${error && html`<${Problem} error=${error} retry=${load} />`}
    <${Tabs} tabs=${tabsOf(job)} chosen=${chosen} choose=${setChosen} label="Parts of the job" />
    <${TabPanel} name="log" chosen=${chosen}>
      <${LogPanel} path=${PATH} live=${job && !isFinal(job)} hidden=${chosen !== "log"} onEvent=${onEvent} />
    <//>
    <${TabPanel} name="details" chosen=${chosen}>${job && html`<${JobDetails} job=${job} />`}<//>
  `;
}

function tabsOf(job) {
  return [
    { name: "log", title: "Log" },
    { name: "details", title: "Details" },
  ];
}

function useTitle(job) {
  const title = job && `${job.title ?? job.name} ${stateOf(job)} · CI runner`;
  useEffect(() => {
    if (title) document.title = title;
  }, [title]);
}

const WHY = {
  job_not_found: [
    "There is no such job",
    "It was deleted, or it is not yours to see, or the link is not complete.",
  ],
  unauthenticated: ["You are not logged in", "Only people whom the server knows see its jobs."],
  invalid_credentials: ["You are not logged in any more", "Your session has expired, or was ended."],
};

/** What is shown in place of a job. */
function NoJob({ error, retry }) {
  const [title, what] = WHY[error.code] ?? ["The job cannot be shown", error.message];
  return html`<section class="no-job">
    <h1>${title}</h1>
    <p role="alert">${what} <code>${error.code}</code></p>
    <p><code>${JOB_ID}</code></p>
    <p><button type="button" onClick=${retry}>Try again</button> <a href=${pageUrl()}>All jobs</a></p>
  </section>`;
}

showPage(JobPage, LOG_KEYS);
