// The runs of the runs API.
import { pageUrl } from "../lib/api.js";
import { JobState } from "../lib/job_state.js";
import { number } from "../lib/numbers.js";
import { PagedList } from "../lib/paged_list.js";
import { stateOfRun } from "../lib/run_state.js";
import { showPage } from "../lib/shell.js";
import { age, moment } from "../lib/time.js";
import { html } from "../lib/ui.js";

const PAGE = 50;

function RunsPage() {
  return html`<h1>Runs</h1>
    <${PagedList}
      path="api/v1/runs"
      parameters=${(page) => ({ page: page ?? 1, page_size: PAGE })}
      read=${({ runs, total, page, page_size: size }) => ({
        rows: runs,
        next: page * size < total ? page + 1 : null,
      })}
      id=${(run) => run.run_id}
      empty="No runs yet. They are submitted with POST /api/v1/runs."
      columns=${["Result", "Query", "User", "Submitted", "Iteration", "Score"]}
      row=${(run) => [
        html`<${JobState} job=${stateOfRun(run)} />`,
        html`<a href=${pageUrl(`runs/${run.run_id}`)}><bdi>${run.raw_query ?? run.run_id}</bdi></a>`,
        html`<bdi>${run.user_email}</bdi>`,
        html`<span title=${moment(run.created_at)}>${age(run.created_at)}</span>`,
        run.current_iteration === null ? "" : `${run.current_iteration} of ${run.max_iterations}`,
        number(run.final_score ?? run.current_score),
      ]}
    />`;
}

showPage(RunsPage);
