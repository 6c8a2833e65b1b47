// The list of jobs.
import { pageUrl, requestJson } from "../lib/api.js";
import { JobState } from "../lib/job_state.js";
import { Problem, showPage } from "../lib/shell.js";
import { age, duration, moment, ranSeconds } from "../lib/time.js";
import { html, useCallback, useEffect, useState } from "../lib/ui.js";

function JobsPage() {
  const [jobs, setJobs] = useState(null);
  const [error, setError] = useState(null);
  const load = useCallback(async () => {
    setError(null);
    try {
      setJobs(await requestJson("jobs", { parameters: { limit: 50 } }));
    } catch (problem) {
      setError(problem);
    }
  }, []);
  useEffect(() => {
    load();
  }, []);
  return html`
    <h1>Jobs</h1>
    ${error && html`<${Problem} error=${error} retry=${load} />`}
    ${jobs && html`<${JobTable} jobs=${jobs} />`}
  `;
}

function JobTable({ jobs }) {
  if (!jobs.length) return html`<p>No jobs yet. Send one: <code>ci submit</code></p>`;
  return html`<table class="jobs">
    <thead>
      <tr><th>Result</th><th>Job</th><th>User</th><th>Submitted</th><th>Time</th></tr>
    </thead>
    <tbody>
      ${jobs.map((job) => {
        const ran = ranSeconds(job);
        return html`<tr key=${job.job_id}>
          <td><${JobState} job=${job} /></td>
          <td><a href=${pageUrl(`jobs/${job.job_id}`)}>${job.name ?? job.job_id.slice(0, 8)}</a></td>
          <td>${job.user}</td>
          <td title=${moment(job.submit_time)}>${age(job.submit_time)}</td>
          <td>${ran === null ? "" : duration(ran)}</td>
        </tr>`;
      })}
    </tbody>
  </table>`;
}

showPage(JobsPage);
