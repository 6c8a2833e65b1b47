// The valuations of the model-job API.
import { pageUrl } from "../lib/api.js";
import { JobState } from "../lib/job_state.js";
import { number } from "../lib/numbers.js";
import { PagedList } from "../lib/paged_list.js";
import { showPage } from "../lib/shell.js";
import { age, duration, moment } from "../lib/time.js";
import { html } from "../lib/ui.js";

const STATES = { completed: { status: "completed", success: true } };
const PAGE = 50;

function ModelsPage() {
  return html`<h1>Models</h1>
    <${PagedList}
      path="v1/jobs"
      parameters=${(cursor) => ({ limit: PAGE, cursor })}
      read=${(page) => ({ rows: page.jobs, next: page.nextCursor })}
      id=${(job) => job.jobId}
      empty=${html`No models yet. Send one: <code>ci model submit DIR</code>`}
      columns=${["Result", "Model", "User", "Submitted", "Time", "Mean NPV", "CTE 95"]}
      row=${(job) => [
        html`<${JobState} job=${STATES[job.status] ?? { status: job.status }} />`,
        html`<a href=${pageUrl(`models/${job.jobId}`)}><bdi>${job.modelName ?? job.jobId.slice(0, 8)}</bdi></a>`,
        html`<bdi>${job.userId}</bdi>`,
        html`<span title=${moment(job.createdAt)}>${age(job.createdAt)}</span>`,
        job.executionTimeMs === null ? "" : duration(job.executionTimeMs / 1000),
        number(job.resultData?.statistics.mean),
        number(job.resultData?.statistics.cte95),
      ]}
    />`;
}

showPage(ModelsPage);
