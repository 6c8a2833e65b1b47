// What can be done with a job: cancel it, or run it again.
import { pageUrl, request, requestJson } from "./api.js";
import { isFinal } from "./job_state.js";
import { html, useRef, useState } from "./ui.js";

/**
 * The buttons for a job.
 * @param {object} properties
 * @param {object} properties.job
 * @param {(job: object) => void} properties.onChange gets the job after it was changed
 */
export function JobActions({ job, onChange }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
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
  const path = `jobs/${encodeURIComponent(job.job_id)}`;
  const cancel = () =>
    attempt(async () => onChange(await requestJson(`${path}/cancel`, { method: "POST" })));
  const rerun = () =>
    attempt(async () => {
      const answer = await request(`${path}/rerun`, { method: "POST" });
      location.assign(pageUrl(`jobs/${(await answer.json()).job_id}`));
    });
  return html`<div class="actions">
    ${!isFinal(job) && html`<${CancelButton} job=${job} busy=${busy} cancel=${cancel} />`}
    <${RerunButton} job=${job} busy=${busy} rerun=${rerun} />
    ${error && html`<p class="action-error" role="alert">${error.message}</p>`}
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
