// What state a job is in, as pages show it.
import { html } from "./ui.js";

const SHOWN = {
  passed: ["✓", "passed"],
  failed: ["✗", "failed"],
  cancelled: ["⊘", "cancelled"],
  running: ["●", "running"],
  initializing: ["●", "starting"],
  queued: ["○", "queued"],
};

/** One of the names above. `job` has the fields of the API. */
export function stateOf({ status, success }) {
  if (status === "completed") return success ? "passed" : "failed";
  return status in SHOWN ? status : "queued";
}

/** Whether nothing more will happen to it. */
export const isFinal = (job) => ["completed", "failed", "cancelled"].includes(job.status);

/** A job's state as a coloured word with a sign: colour is never the only difference. */
export function JobState({ job }) {
  const state = stateOf(job);
  const [sign, usual] = SHOWN[state];
  const word = job.reason === "timeout" ? "timed out" : usual;
  return html`<span class=${`state state-${state}`}
    ><span aria-hidden="true">${sign}</span> ${word}</span
  >`;
}
