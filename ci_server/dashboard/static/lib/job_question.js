// The question before something is done with a job, and what became of it.
import { Dialog } from "./dialog.js";
import { act, adviceOn } from "./job_actions.js";
import { Problem } from "./shell.js";
import { commandLine } from "./shell_quote.js";
import { html, useState } from "./ui.js";

const LONGEST_COMMAND = 300;
const QUESTIONS = {
  cancel: {
    title: "Cancel this job?",
    text: "Its command is stopped. What it has written to the log stays.",
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

/**
 * @param {object} properties
 * @param {{job: object, what: "cancel" | "rerun"}} properties.asked
 * @param {(job: object, what: string) => void} properties.onDone gets the job of the answer
 * @param {() => void} properties.onClose
 */
export function JobQuestion({ asked: { job, what }, onDone, onClose }) {
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const question = QUESTIONS[what];
  const advice = error && adviceOn(error, job);
  const isRisky = what === "cancel";
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
    <${Facts} job=${job} />
    <p>${question.text}</p>
    ${error && html`<${Problem} error=${error} />`}
    ${advice && html`<p>${advice}</p>`}
    ${error?.code === "package_gone" && html`<p>Submit the project again.</p>`}
    <div class="buttons">
      <button type="button" onClick=${onClose} autofocus=${isRisky}>${question.no}</button>
      <button
        type="button"
        class=${isRisky ? "danger" : "primary"}
        autofocus=${!isRisky}
        disabled=${isBusy || error?.code === "package_gone"}
        onClick=${confirm}
      >
        ${question.yes}
      </button>
    </div>
  <//>`;
}

/** What is run, and with what. */
function Facts({ job }) {
  const image = job.settings?.image ?? job.image;
  const facts = [
    image && `image ${image}`,
    job.priority > 0 && `priority ${job.priority}`,
    job.secrets?.length > 0 && `secrets ${job.secrets.join(", ")}`,
  ].filter(Boolean);
  return html`<p class="asked-facts">
    <code><bdi>${commandLine(job.command ?? []).slice(0, LONGEST_COMMAND)}</bdi></code>
    ${facts.length > 0 && html`<span class="faint"><bdi>${facts.join(" · ")}</bdi></span>`}
  </p>`;
}
