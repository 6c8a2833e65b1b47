// What stands in place of a list that has no jobs.
import { ROOT } from "../../lib/api.js";
import { NO_FILTER, isFiltered } from "../../lib/job_filter.js";
import { html } from "../../lib/ui.js";
import { maySubmit } from "../../lib/caller.js";

export function Empty({ filter, go, caller }) {
  if (isFiltered(filter)) {
    return html`<div class="empty">
      <h2>No job matches</h2>
      <p>Fewer filters may show more jobs.</p>
      <button type="button" onClick=${() => go(NO_FILTER)}>Clear all filters</button>
    </div>`;
  }
  if (!maySubmit(caller)) {
    return html`<div class="empty">
      <h2>No jobs yet</h2>
      <p>New jobs appear here automatically.</p>
    </div>`;
  }
  const address = ROOT.href.replace(/\/$/, "");
  return html`<div class="empty">
    <h2>No jobs yet</h2>
    <p>Send a project from its directory:</p>
    <pre class="command" tabindex="0">pip install ci-runner
ci submit --server ${address} -- pytest</pre>
    <p>or drop a zip of it on this page. New jobs appear here automatically.</p>
  </div>`;
}
