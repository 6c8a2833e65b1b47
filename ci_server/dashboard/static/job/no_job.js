// What is shown in place of a job.
import { Missing } from "../lib/missing.js";
import { html } from "../lib/ui.js";

const GONE = "It was deleted, you may not see it, or the link is incomplete.";

/** `all` is where the page of all such jobs is, and what it is called. */
export function NoJob({ error, retry, all }) {
  const isGone = error.code === "job_not_found";
  const title = isGone ? "There is no such job" : "The job cannot be shown";
  return html`<${Missing} title=${title} what=${isGone ? GONE : error.message} code=${error.code}
    retry=${retry} all=${all} />`;
}
