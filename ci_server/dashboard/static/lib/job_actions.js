// What can be done with a job, for every page that offers it.
import { requestJson } from "./api.js";
import { commandLine } from "./shell_quote.js";
import { html } from "./ui.js";

/**
 * Cancel a job, or run it again. Throws ApiError.
 * @param {object} job
 * @param {"cancel" | "rerun"} what
 * @returns {Promise<object>} the job that was cancelled, or the new one
 */
export const act = (job, what) =>
  requestJson(`jobs/${encodeURIComponent(job.job_id)}/${what}`, { method: "POST" });

/** What to do about an error of `act`; null where its message says enough. */
export function adviceOn(error, job) {
  if (error.code !== "secrets_needed") return null;
  const secrets = job.secrets.flatMap((name) => ["--secret", name]);
  return html`The server keeps no secrets of jobs. Set them as environment variables, and run the job
    again from a terminal: <code>${commandLine(["ci", "rerun", job.job_id.slice(0, 8), secrets])}</code>`;
}
