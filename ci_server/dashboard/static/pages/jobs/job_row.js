// One job of the list. All text of jobs is isolated (bdi): it may turn the direction of writing.
import { pageUrl } from "../../lib/api.js";
import { useNow } from "../../lib/clock.js";
import { BranchIcon, LockIcon } from "../../lib/icons.js";
import { JobState, isFinal, stateOf } from "../../lib/job_state.js";
import { Trend } from "../../lib/sparkline.js";
import { age, duration, moment, ranSeconds } from "../../lib/time.js";
import { html } from "../../lib/ui.js";
import { FilterLink } from "./filter_link.js";
import { JobAction } from "./job_actions.js";

const SHOWN_LABELS = 3;
const LONGEST_TIP = 500;

export function JobRow({ job, trend, caller, filter, go, ask, isFresh }) {
  const name = job.title ?? job.name;
  const only = { filter, go };
  return html`<tr role="row" class=${isFresh ? "job fresh" : "job"} data-job=${job.job_id}>
    <td role="cell" class="job-state"><${JobState} job=${job} /></td>
    <td role="cell" class="job-what">
      <div class="job-title">
        <a class="job-link" href=${pageUrl(`jobs/${job.job_id}`)} title=${name.slice(0, LONGEST_TIP)}
          ><bdi>${name}</bdi></a
        >
        ${job.private && html`<span class="faint" title="Only you and admins see this job"
          ><${LockIcon} /><span class="unseen">private</span></span
        >`}
        <${Labels} labels=${job.labels} ...${only} />
      </div>
      <div class="job-detail"><${Detail} job=${job} /></div>
    </td>
    <td role="cell" class="job-trend">
      ${trend && html`<${FilterLink} class="plain" change=${{ name: job.name }} ...${only}
        ><${Trend} trend=${trend}
      /><//>`}
    </td>
    <td role="cell" class="job-who">
      <${FilterLink} class="plain" change=${{ user: job.user }} title=${job.user.slice(0, LONGEST_TIP)}
        ...${only}><bdi>${job.user}</bdi><//>
    </td>
    <td role="cell" class="job-when"><${Times} job=${job} /></td>
    <td role="cell" class="job-action"><${JobAction} job=${job} caller=${caller} ask=${ask} /></td>
  </tr>`;
}

function Labels({ labels, filter, go }) {
  const all = Object.entries(labels).filter(([key]) => !key.startsWith("git."));
  if (!all.length) return null;
  const rest = all.slice(SHOWN_LABELS).map(([key, value]) => `${key}: ${value}`);
  return html`<span class="labels">
    ${all.slice(0, SHOWN_LABELS).map(([key, value]) => {
      const label = `${key}:${value}`;
      const change = { labels: [...new Set([...filter.labels, label])] };
      return html`<${FilterLink} key=${label} class="label" change=${change} filter=${filter} go=${go}
        title=${`Only jobs with ${label}`}
        ><span class="label-key">${key}</span> <bdi>${value}</bdi><//>`;
    })}
    ${rest.length > 0 && html`<span class="label" title=${rest.join("\n")}>+${rest.length}</span>`}
  </span>`;
}

/** What one wants to know beside the name: why it waits or failed, and what was run. */
function Detail({ job }) {
  return html`<${Progress} job=${job} /><${Source} job=${job} />`;
}

function Progress({ job }) {
  const words = progressOf(job);
  return words && html`<bdi class=${`told told-${stateOf(job)}`}>${words}</bdi>`;
}

function progressOf(job) {
  if (job.cancel_requested_at && !isFinal(job)) return "being cancelled";
  if (job.waiting) {
    const { ahead, message } = job.waiting;
    const place = ahead === null || ahead === undefined ? "" : `#${ahead + 1} in the queue`;
    const reason = message.replace(/,? ?\d+ jobs? ahead$/, ""); // which the place says
    return [place, reason].filter(Boolean).join(" · ");
  }
  if (stateOf(job) !== "failed") return null;
  const failed = job.tests ? job.tests.failed + job.tests.errors : 0;
  return failed ? `${failed} of ${job.tests.total} tests failed` : job.message;
}

function Source({ job }) {
  const { git, command } = job;
  if (!git) return html`<bdi class="mono">${command.join(" ").slice(0, LONGEST_TIP)}</bdi>`;
  return html`<span class="mono"
    ><${BranchIcon} />${git.branch && html`<bdi>${git.branch}</bdi> · `}<bdi
      >${git.commit.slice(0, 8)}</bdi
    >${git.dirty && " + changes"}</span
  >`;
}

function Times({ job }) {
  const isRunning = job.start_time !== null && !isFinal(job);
  const now = useNow(isRunning ? 1_000 : 30_000);
  const ran = ranSeconds(job, now);
  return html`
    <span class="ran">${ran === null ? "" : duration(isRunning ? Math.floor(ran) : ran)}</span>
    <time datetime=${job.submit_time} title=${`submitted ${moment(job.submit_time)}`}
      >${age(job.submit_time, now)}</time
    >
  `;
}
