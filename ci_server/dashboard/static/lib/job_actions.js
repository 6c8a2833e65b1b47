// What can be done with a job: cancel it, or run it again.
import { pageUrl, request, requestJson, requestJsonPatiently } from "./api.js";
import { mayCancel, mayRunAgain } from "./caller.js";
import { isFinal } from "./job_state.js";
import { commandLine } from "./shell_quote.js";
import { html, useEffect, useRef, useState } from "./ui.js";

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
  const path = `jobs/${encodeURIComponent(job.job_id)}`;
  const cancel = () =>
    attempt(async () => onChange(await requestJson(`${path}/cancel`, { method: "POST" })));
  const rerun = () =>
    attempt(async () => {
      const answer = await request(`${path}/rerun`, { method: "POST" });
      location.assign(pageUrl(`jobs/${(await answer.json()).job_id}`));
    });
  return html`<div class="actions">
    ${!isFinal(job) && mayCancel(caller, job) && html`<${CancelButton} job=${job} busy=${busy} cancel=${cancel} />`}
    ${mayRunAgain(caller, job) && html`<${RerunButton} job=${job} busy=${busy} rerun=${rerun} />`}
    ${error && html`<p class="action-error" role="alert">${error.message} <${Advice} error=${error} job=${job} /></p>`}
  </div>`;
}

function useCaller() {
  const [caller, setCaller] = useState(null);
  useEffect(() => {
    requestJsonPatiently("whoami").then(setCaller, () => {}); // the page tells what is wrong
  }, []);
  return caller;
}

/** What to do about an error, where there is something. */
function Advice({ error, job }) {
  if (error.code !== "secrets_needed") return null;
  const secrets = job.secrets.flatMap((name) => ["--secret", name]);
  return html`The server keeps no secrets of jobs. Set them as environment variables, and run the job
    again from a terminal: <code>${commandLine(["ci", "rerun", job.job_id.slice(0, 8), secrets])}</code>`;
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
