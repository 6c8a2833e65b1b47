// The head of a job's page: what it is, who sent it, how it goes.
import { pageUrl } from "../lib/api.js";
import { useNow } from "../lib/clock.js";
import { JobState, isFinal, stateOf } from "../lib/job_state.js";
import { sentence } from "../lib/text.js";
import { age, duration, moment, ranSeconds } from "../lib/time.js";
import { html } from "../lib/ui.js";
import { JobActions } from "./actions.js";

const SECOND_MS = 1000;

export function JobHead({ job, onChange }) {
  return html`<header class=${`job-head is-${stateOf(job)}`}>
    <div class="job-title">
      <h1>${job.title ?? job.name ?? job.job_id}</h1>
      <${JobState} job=${job} />
      <${Times} job=${job} />
      <span class="space"></span>
      <${JobActions} job=${job} onChange=${onChange} />
    </div>
    <p class="job-facts">${facts(job)}</p>
    <${Result} job=${job} />
  </header>`;
}

function Times({ job }) {
  const now = useNow(isFinal(job) ? null : SECOND_MS);
  const ran = ranSeconds(job, now);
  if (ran !== null) return html`<span class="job-timer" role="timer" aria-live="off">${duration(ran)}</span>`;
  if (isFinal(job)) return null;
  const waited = (now - Date.parse(job.submit_time)) / 1000;
  return html`<span class="job-timer faint">for ${duration(Math.max(waited, 0))}</span>`;
}

function facts(job) {
  const { git } = job;
  return html`
    ${job.title && html`<span>${job.name}</span>`}
    <span>${job.user}</span>
    <span title=${moment(job.submit_time)}>submitted ${age(job.submit_time)}</span>
    ${git && html`<span><${Commit} git=${git} /></span>`}
    ${job.attempt > 1 && html`<span>attempt ${job.attempt}</span>`}
    ${job.priority > 0 && html`<span>priority ${job.priority}</span>`}
    ${job.private && html`<span title="Only its submitter and admins see it">private</span>`}
    ${job.rerun_of &&
    html`<span>repeats <a href=${pageUrl(`jobs/${job.rerun_of}`)}>${job.rerun_of.slice(0, 8)}</a></span>`}
    ${Object.entries(job.labels ?? {}).map(
      ([key, value]) => html`<span class="label" key=${key}>${value ? `${key}: ${value}` : key}</span>`,
    )}
    <code class="job-id" title="The job's id">${job.job_id}</code>
  `;
}

function Commit({ git }) {
  const shown = git.commit?.slice(0, 10);
  return html`${git.branch && html`${git.branch} @ `}<code title=${git.describe ?? git.commit}>${shown}</code>
    ${git.dirty && html` <span title="Files were changed since this commit">+ changes</span>`}`;
}

/** Why it waits, or how it ended, in words. */
function Result({ job }) {
  if (job.waiting || job.position) {
    return html`<p class="job-result waits" role="status">${whyItWaits(job)}</p>`;
  }
  if (!isFinal(job) || !job.message) return null;
  const known = ["exit", "cancelled"].includes(job.reason);
  return html`<p class="job-result" role="status">
    ${sentence(job.message)} ${!known && html`<code>${job.reason}</code>`}
  </p>`;
}

function whyItWaits({ waiting, position }) {
  const place = position ? `Number ${position} in the queue. ` : "";
  return place + (waiting ? sentence(waiting.message) : "");
}
