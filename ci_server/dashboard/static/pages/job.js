// One job: what it is, and its log.
import { ROOT, requestJson } from "../lib/api.js";
import { JobState, isFinal } from "../lib/job_state.js";
import { Problem, showPage } from "../lib/shell.js";
import { html, useEffect, useState } from "../lib/ui.js";
import { LOG_KEYS, LogPanel } from "../log/panel.js";

const JOB_ID = decodeURIComponent(location.pathname.slice(ROOT.pathname.length).split("/")[2]);

function JobPage() {
  const [job, setJob] = useState(null);
  const [error, setError] = useState(null);
  const path = `jobs/${encodeURIComponent(JOB_ID)}`;
  useEffect(() => {
    requestJson(path).then(setJob, setError);
  }, []);
  return html`
    ${error && html`<${Problem} error=${error} />`}
    ${job && html`<h1>${job.name ?? job.job_id} <${JobState} job=${job} /></h1>
      <${LogPanel} path=${path} live=${!isFinal(job)} hidden=${false} onEvent=${() => {}} />`}
  `;
}

showPage(JobPage, LOG_KEYS);
