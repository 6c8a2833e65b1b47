// What a job left: its artifacts, and a look into one.
import { useAnswer } from "../lib/answer.js";
import { apiUrl, encodedPath, requestJson } from "../lib/api.js";
import { Problem } from "../lib/shell.js";
import { bytes } from "../lib/sizes.js";
import { html, useLayoutEffect, useRef, useState } from "../lib/ui.js";
import { RESULTS_FILE } from "../models/results.js";

const LEAST_LEFT_MS = 60_000;
const MOST_LISTED = 1000;
const SHOWN =
  /\.(?:txt|log|md|csv|json|xml|ya?ml|toml|ini|py|js|css|html?|svg|png|jpe?g|gif|webp|avif)$|^[^.]*$/i;

/**
 * @param {object} properties
 * @param {string} properties.path of the job in the API
 * @param {URL} properties.model the page that draws results of the calculation engine
 */
export function ArtifactsList({ path, model }) {
  const [artifacts, error, load] = useAnswer(`${path}/artifacts`);
  const [problem, setProblem] = useState(null); // of a preview
  const [shown, setShown] = useState(null);
  const preview = usePreviews(path);
  const opener = useRef(null);
  const show = async (artifact, button) => {
    opener.current = button;
    setProblem(null);
    try {
      setShown({ name: artifact.path, url: await preview(artifact.path) });
    } catch (refused) {
      setProblem(refused);
    }
  };
  const close = () => {
    setShown(null);
    opener.current.focus();
  };
  return html`
    ${error && html`<${Problem} error=${error} retry=${load} />`}
    ${problem && html`<${Problem} error=${problem} />`}
    ${artifacts?.some((artifact) => artifact.path === RESULTS_FILE) &&
    html`<p><a href=${model}>Charts of the results</a></p>`}
    ${artifacts?.length === 0 && html`<p>The job left no artifacts.</p>`}
    <div class="artifacts">
      ${artifacts?.length > 0 && html`<${Table} path=${path} artifacts=${artifacts} shown=${shown} show=${show} />`}
      ${shown && html`<${Preview} shown=${shown} close=${close} />`}
    </div>
  `;
}

function Table({ path, artifacts, shown, show }) {
  return html`<table class="list">
    <thead><tr><th>Artifact</th><th class="size">Size</th><th><span class="unseen">Actions</span></th></tr></thead>
    <tbody>
      ${artifacts.slice(0, MOST_LISTED).map(
        (artifact) => html`<tr key=${artifact.path} aria-current=${shown?.name === artifact.path ? "true" : undefined}>
          <td><a href=${apiUrl(`${path}/artifacts/`).href + encodedPath(artifact.path)} download>${artifact.path}</a></td>
          <td class="size">${bytes(artifact.size)}</td>
          <td>${SHOWN.test(artifact.path.split("/").at(-1)) &&
          html`<button type="button" onClick=${(event) => show(artifact, event.currentTarget)}>View<span class="unseen"> ${artifact.path}</span></button>`}</td>
        </tr>`,
      )}
    </tbody>
    ${artifacts.length > MOST_LISTED &&
    html`<caption>The first ${MOST_LISTED} of ${artifacts.length}; <code>ci artifacts</code> lists all.</caption>`}
  </table>`;
}

/** In a frame of an origin of its own: what a job wrote never runs in ours. It may be far below the
 * button that opened it, so it comes into view. */
function Preview({ shown, close }) {
  const section = useRef(null);
  useLayoutEffect(() => {
    section.current.focus({ preventScroll: true });
    section.current.scrollIntoView({ block: "nearest" });
  }, [shown]);
  return html`<section class="preview" tabindex="-1" ref=${section} aria-label=${`Preview of ${shown.name}`}>
    <p>
      <strong>${shown.name}</strong>
      <span class="space"></span>
      <a href=${shown.url} target="_blank" rel="noopener noreferrer">In a new tab</a>
      <button type="button" onClick=${close}>Close</button>
    </p>
    <iframe sandbox="allow-scripts" referrerpolicy="no-referrer" src=${shown.url} title=${`Preview of ${shown.name}`}></iframe>
  </section>`;
}

/** A function that gives the address of an artifact's preview, by a grant that is asked for once.
 * The addresses come in the order in which they were asked for. */
function usePreviews(path) {
  const last = useRef(null);
  return async (name) => {
    const grant = granted(path, last.current);
    last.current = grant;
    const { pathname } = new URL((await grant).url);
    return new URL(pathname + encodedPath(name), location.origin).href;
  };
}

/** The grant that was asked for before, or another one. */
async function granted(path, before) {
  const known = await before?.catch(() => null); // whoever asked for it was told
  const left = known ? Date.parse(known.expires_at) - Date.now() : 0;
  return left < LEAST_LEFT_MS ? requestJson(`${path}/previews`, { method: "POST" }) : known;
}
