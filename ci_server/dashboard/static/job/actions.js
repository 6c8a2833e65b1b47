// The buttons of a job's page: cancel it, or run it again.
import { pageUrl } from "../lib/api.js";
import { mayCancel, mayRunAgain, useCaller } from "../lib/caller.js";
import { act, adviceOn } from "../lib/job_actions.js";
import { isFinal } from "../lib/job_state.js";
import { html, useRef, useState } from "../lib/ui.js";

/**
 * The buttons for a job, of which those are shown that the reader may use.
 * @param {object} properties
 * @param {object} properties.job
 * @param {(job: object) => void} properties.onChange gets the job after it was changed
 */
export function JobActions({ job, onChange }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const caller = useCaller();
  const attempt = async (action) => {
    setBusy(true);
    setError(null);
    try {
      await action();
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  const cancel = () => attempt(async () => onChange(await act(job, "cancel")));
  const rerun = () =>
    attempt(async () => location.assign(pageUrl(`jobs/${(await act(job, "rerun")).job_id}`)));
  return html`<div class="actions">
    ${!isFinal(job) && mayCancel(caller, job) && html`<${CancelButton} job=${job} busy=${busy} cancel=${cancel} />`}
    ${mayRunAgain(caller, job) && html`<${RerunButton} job=${job} busy=${busy} rerun=${rerun} />`}
    ${error && html`<p class="action-error" role="alert">${error.message} ${adviceOn(error, job)}</p>`}
  </div>`;
}

function CancelButton({ job, busy, cancel }) {
  const dialog = useRef(null);
  if (job.cancel_requested_at) return html`<button type="button" disabled>Cancelling …</button>`;
  const decided = () => {
    if (dialog.current.returnValue === "cancel") cancel();
  };
  return html`
    <button type="button" disabled=${busy} onClick=${() => dialog.current.showModal()}>Cancel</button>
    <dialog ref=${dialog} aria-label="Cancel the job" onClose=${decided}>
      <p>Cancel this job? Its command is stopped; the log is kept.</p>
      <form method="dialog" class="choice">
        <button value="no" autofocus>Keep it running</button>
        <button value="cancel" class="danger">Cancel the job</button>
      </form>
    </dialog>
  `;
}

function RerunButton({ job, busy, rerun }) {
  const gone = job.settings?.package_available === false || job.package_size === null;
  const why = gone
    ? "Its package is no longer kept: submit the project again."
    : "Queue a new job with the same package and settings.";
  return html`<button type="button" disabled=${busy || gone} title=${why} onClick=${rerun}>
    Run again
  </button>`;
}
