// The buttons of a job's page: cancel it, or run it again.
import { pageUrl } from "../lib/api.js";
import { mayCancel, mayRunAgain, useCaller } from "../lib/caller.js";
import { JobQuestion } from "../lib/job_question.js";
import { isFinal } from "../lib/job_state.js";
import { useKeys } from "../lib/keys.js";
import { html, useState } from "../lib/ui.js";

/** What the keys do, for the list of keys. */
export const ACTION_KEYS = [["r", "run the job again"]];

/**
 * The buttons for a job, of which those are shown that the reader may use.
 * @param {object} properties
 * @param {object} properties.job
 * @param {(job: object) => void} properties.onChange gets the job after it was changed
 */
export function JobActions({ job, onChange }) {
  const [what, ask] = useState(null);
  const caller = useCaller();
  const isGone = job.settings?.package_available === false || job.package_size === null;
  const mayRerun = mayRunAgain(caller, job);
  const onDone = (answer) => {
    ask((now) => (now === what ? null : now)); // it may be the next question by now
    if (what === "rerun") location.assign(pageUrl(`jobs/${answer.job_id}`));
    else onChange(answer);
  };
  useKeys({ r: () => mayRerun && !isGone && ask("rerun") });
  return html`<div class="actions">
    ${!isFinal(job) && mayCancel(caller, job) && html`<${CancelButton} job=${job} ask=${ask} />`}
    ${mayRerun && html`<${RerunButton} isGone=${isGone} ask=${ask} />`}
    ${what && html`<${JobQuestion} asked=${{ job, what }} onDone=${onDone} onClose=${() => ask(null)} />`}
  </div>`;
}

function CancelButton({ job, ask }) {
  if (job.cancel_requested_at) return html`<button type="button" disabled>Cancelling …</button>`;
  return html`<button type="button" onClick=${() => ask("cancel")}>Cancel</button>`;
}

function RerunButton({ isGone, ask }) {
  const why = isGone
    ? "Its package is no longer kept: submit the project again."
    : "Queue a new job with the same package and settings (r)";
  return html`<button type="button" disabled=${isGone} title=${why} onClick=${() => ask("rerun")}>
    Run again
  </button>`;
}
