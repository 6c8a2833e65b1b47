// What can be done to a job of the list, after a question.
import { pageUrl } from "../../lib/api.js";
import { AgainIcon, StopIcon } from "../../lib/icons.js";
import { act, adviceOn } from "../../lib/job_actions.js";
import { isFinal } from "../../lib/job_state.js";
import { Problem } from "../../lib/shell.js";
import { html, useState } from "../../lib/ui.js";
import { mayCancel, mayRunAgain } from "../../lib/caller.js";
import { Dialog } from "./dialog.js";

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

const QUESTIONS = {
  cancel: {
    title: "Cancel this job?",
    text: "Its container is stopped. What it has written to the log stays.",
    yes: "Cancel the job",
    no: "Keep it",
  },
  rerun: {
    title: "Run this job again?",
    text: "A new job gets the same files and settings.",
    yes: "Run again",
    no: "Close",
  },
};

/** The question of `asked`, and what became of it. `onDone` gets the job of the answer. */
export function Question({ asked: { job, what }, onDone, onClose }) {
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const question = QUESTIONS[what];
  const advice = error && adviceOn(error, job);
  const confirm = async () => {
    setError(null);
    setBusy(true);
    try {
      onDone(await act(job, what), what);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${question.title} onClose=${onClose}>
    <p class="asked">
      <bdi class="job-name">${job.title ?? job.name}</bdi> <code>${job.job_id.slice(0, 8)}</code>
    </p>
    <p>${question.text}</p>
    ${error && html`<${Problem} error=${error} />`}
    ${advice && html`<p>${advice}</p>`}
    ${error?.code === "package_gone" && html`<p>You can also drop a zip of the project on this page.</p>`}
    <div class="buttons">
      <button type="button" onClick=${onClose} autofocus>${question.no}</button>
      <button
        type="button"
        class=${what === "cancel" ? "danger" : "primary"}
        disabled=${isBusy || error?.code === "package_gone"}
        onClick=${confirm}
      >
        ${question.yes}
      </button>
    </div>
  <//>`;
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
