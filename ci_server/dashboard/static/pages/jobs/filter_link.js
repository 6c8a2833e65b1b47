// Links from the list to other lists.
import { pageUrl } from "../../lib/api.js";
import { writeFilter } from "../../lib/job_filter.js";
import { html } from "../../lib/ui.js";

/** A link that shows other jobs; `go` gets the change of the filter. */
export function FilterLink({ filter, change, go, children, ...others }) {
  const clicked = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(change);
  };
  const href = pageUrl() + writeFilter({ ...filter, ...change });
  return html`<a ...${others} href=${href} onClick=${clicked}>${children}</a>`;
}
