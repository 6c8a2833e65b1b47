// What can be done to a job of the list.
import { pageUrl } from "../../lib/api.js";
import { AgainIcon, StopIcon } from "../../lib/icons.js";
import { isFinal } from "../../lib/job_state.js";
import { html } from "../../lib/ui.js";
import { mayCancel, mayRunAgain } from "../../lib/caller.js";

const shortName = (job) => (job.title ?? job.name).slice(0, 80);

/** The button of a job. `ask` opens the question. */
export function JobAction({ job, caller, ask }) {
  if (!isFinal(job)) {
    if (!mayCancel(caller, job)) return null;
    const isAsked = job.cancel_requested_at !== null;
    return html`<button
      type="button"
      class="icon-button"
      disabled=${isAsked}
      title=${isAsked ? "Being cancelled" : "Cancel"}
      aria-label=${`Cancel ${shortName(job)}`}
      onClick=${() => ask({ job, what: "cancel" })}
    >
      <${StopIcon} />
    </button>`;
  }
  if (!mayRunAgain(caller, job)) return null;
  return html`<button
    type="button"
    class="icon-button"
    title="Run again"
    aria-label=${`Run ${shortName(job)} again`}
    onClick=${() => ask({ job, what: "rerun" })}
  >
    <${AgainIcon} />
  </button>`;
}

/** What was done, for a moment. */
export function Done({ done }) {
  if (!done) return null;
  const { job, what } = done;
  if (what === "cancel") return html`<span>The job is being cancelled.</span>`;
  return html`<span
    >The job runs again: <a href=${pageUrl(`jobs/${job.job_id}`)}>${job.job_id.slice(0, 8)}</a></span
  >`;
}
