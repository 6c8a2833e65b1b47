// How much of a job's sources its tests ran.
import { useAnswer } from "../lib/answer.js";
import { percent } from "../lib/percent.js";
import { Problem } from "../lib/shell.js";
import { html } from "../lib/ui.js";

export function CoverageList({ path, coverage }) {
  const [found, error, load] = useAnswer(`${path}/coverage`);
  return html`
    <p class="counts">
      <span><strong>${percent(coverage.rate ?? 0)}</strong> of lines</span>
      <span class="faint">${coverage.lines_covered} of ${coverage.lines_total}</span>
      ${coverage.branches_total > 0 && html`<span><strong>${percent(coverage.branches_covered / coverage.branches_total)}</strong> of branches</span>`}
    </p>
    ${error && html`<${Problem} error=${error} retry=${load} />`}
    ${found?.files.length > 0 && html`<${Files} found=${found} />`}
  `;
}

function Files({ found }) {
  const { files, files_total: total } = found;
  return html`
    ${total > files.length && html`<p class="faint">The ${files.length} of ${total} files with most lines that did not run.</p>`}
    <table class="list">
      <thead><tr><th>File</th><th class="size">Covered</th><th class="size">Lines</th><th class="size">Missed</th></tr></thead>
      <tbody>
        ${files.map(
          (file) => html`<tr key=${file.path}>
            <td><code>${file.path}</code></td>
            <td class="size">${file.rate === null ? "–" : percent(file.rate)}</td>
            <td class="size">${file.lines_total}</td>
            <td class="size">${file.lines_total - file.lines_covered}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  `;
}
