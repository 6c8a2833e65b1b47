// A table of which more is fetched on request.
import { requestJson } from "./api.js";
import { Problem } from "./shell.js";
import { html, useCallback, useEffect, useState } from "./ui.js";

/**
 * @param {object} properties
 * @param {string} properties.path of the API
 * @param {(cursor: any) => object} properties.parameters of the request; of the first with null
 * @param {(page: object) => {rows: object[], next: any}} properties.read what is in an answer
 * @param {any} properties.empty what is shown instead of a table without rows
 * @param {string[]} properties.columns
 * @param {(row: object) => any[]} properties.row the cells of a row
 */
export function PagedList({ path, parameters, read, empty, columns, row }) {
  const [rows, setRows] = useState(null);
  const [next, setNext] = useState(null);
  const [error, setError] = useState(null);
  const load = useCallback(async (cursor) => {
    setError(null);
    try {
      const page = read(await requestJson(path, { parameters: parameters(cursor) }));
      setRows((before) => [...((cursor && before) ?? []), ...page.rows]);
      setNext(page.next ?? null);
    } catch (problem) {
      setError(problem);
    }
  }, []);
  useEffect(() => {
    load(null);
  }, []);
  return html`
    ${error && html`<${Problem} error=${error} retry=${() => load(rows && next)} />`}
    ${rows && !rows.length && html`<p>${empty}</p>`}
    ${rows?.length > 0 &&
    html`<div class="table-place" tabindex="0" role="region" aria-label="Table">
      <table class="paged">
        <thead>
          <tr>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr>
        </thead>
        <tbody>
          ${rows.map((each) => html`<tr>${row(each).map((cell) => html`<td>${cell}</td>`)}</tr>`)}
        </tbody>
      </table>
    </div>`}
    ${next !== null &&
    html`<p><button type="button" onClick=${() => load(next)}>Load older ones</button></p>`}
  `;
}
