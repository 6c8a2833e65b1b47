// A table of which more is fetched on request.
import { requestJson } from "./api.js";
import { Problem } from "./shell.js";
import { html, useCallback, useEffect, useRef, useState } from "./ui.js";

/**
 * @param {object} properties
 * @param {string} properties.path of the API
 * @param {(cursor: any) => object} properties.parameters of the request; of the first with null
 * @param {(page: object) => {rows: object[], next: any}} properties.read what is in an answer
 * @param {(row: object) => string} properties.id what no other row has
 * @param {any} properties.empty what is shown instead of a table without rows
 * @param {string[]} properties.columns
 * @param {(row: object) => any[]} properties.row the cells of a row
 */
export function PagedList({ path, parameters, read, id, empty, columns, row }) {
  const [rows, setRows] = useState(null);
  const [next, setNext] = useState(null);
  const [error, setError] = useState(null);
  const isLoading = useRef(false);
  const load = useCallback(async (cursor) => {
    if (isLoading.current) return; // the button was pressed again
    isLoading.current = true;
    setError(null);
    try {
      const page = read(await requestJson(path, { parameters: parameters(cursor) }));
      setRows((before) => joined((cursor && before) ?? [], page.rows, id));
      setNext(page.next ?? null);
    } catch (problem) {
      setError(problem);
    }
    isLoading.current = false;
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

/** Both, with each row once: those that came since the first page was asked for move others on. */
function joined(rows, more, id) {
  const known = new Set(rows.map(id));
  return [...rows, ...more.filter((row) => !known.has(id(row)))];
}
