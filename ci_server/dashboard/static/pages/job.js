// One job: what it is, and its log.
import { ROOT, requestJson } from "../lib/api.js";
import { JobState } from "../lib/job_state.js";
import { Problem, showPage } from "../lib/shell.js";
import { html, useEffect, useState } from "../lib/ui.js";

const JOB_ID = decodeURIComponent(location.pathname.slice(ROOT.pathname.length).split("/")[2]);

function JobPage() {
  const [job, setJob] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    requestJson(`jobs/${encodeURIComponent(JOB_ID)}`).then(setJob, setError);
  }, []);
  return html`
    ${error && html`<${Problem} error=${error} />`}
    ${job && html`<h1>${job.name ?? job.job_id} <${JobState} job=${job} /></h1>`}
  `;
}

showPage(JobPage);
