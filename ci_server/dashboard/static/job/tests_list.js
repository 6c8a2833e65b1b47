// The tests of a job, from its JUnit reports.
import { duration } from "../lib/time.js";
import { html } from "../lib/ui.js";

const COUNTED = ["passed", "failed", "errors", "skipped"];

/**
 * @param {object} properties
 * @param {object} properties.tests of the job
 * @param {(text: string) => void} properties.find look for a text in the log
 */
export function TestsList({ tests, find }) {
  const many = tests.failed + tests.errors;
  return html`
    <p class="counts">
      ${COUNTED.filter((name) => tests[name]).map(
        (name) => html`<span key=${name} class=${`count-${name}`}><strong>${tests[name]}</strong> ${wordFor(name, tests[name])}</span>`,
      )}
      <span class="faint">${tests.total} tests in ${duration(tests.seconds)}</span>
    </p>
    ${many > 0 && html`<h2>Failed</h2>`}
    ${many > tests.failures.length && html`<p class="faint">The first ${tests.failures.length} of ${many}.</p>`}
    <ul class="failures">
      ${tests.failures.map((test, at) => html`<li key=${at}><${Failure} test=${test} find=${find} /></li>`)}
    </ul>
    ${tests.slowest.length > 0 && html`<${Slowest} tests=${tests.slowest} />`}
  `;
}

const wordFor = (name, count) => (name === "errors" && count === 1 ? "error" : name);

function Failure({ test, find }) {
  return html`
    <div class="failure-head">
      <strong>${test.name}</strong>
      <span class="faint">${duration(test.seconds)}</span>
      ${test.file && html`<code>${test.file}${test.line ? `:${test.line}` : ""}</code>`}
      <button type="button" onClick=${() => find(nameInLog(test.name))}>Show in the log</button>
    </div>
    ${test.message && html`<pre tabindex="0">${test.message}</pre>`}
  `;
}

/** What a log has of a test's name: programs write it without the path of its module. */
function nameInLog(name) {
  const parameters = name.indexOf("[");
  const path = parameters < 0 ? name : name.slice(0, parameters);
  const last = path.split(/::|\.(?=[^.\s]*$)/).at(-1);
  return (last + (parameters < 0 ? "" : name.slice(parameters))).slice(0, 200);
}

function Slowest({ tests }) {
  const most = Math.max(...tests.map((test) => test.seconds), Number.EPSILON);
  return html`<h2>Slowest</h2>
    <table class="bars">
      <thead class="unseen"><tr><th>Time</th><th>Test</th></tr></thead>
      <tbody>
        ${tests.map(
          (test, at) => html`<tr key=${at}>
            <td class="size">${duration(test.seconds)}</td>
            <td><${Bar} share=${test.seconds / most} /> ${test.name}</td>
          </tr>`,
        )}
      </tbody>
    </table>`;
}

function Bar({ share }) {
  const width = (element) => element && (element.style.width = `${(share * 6).toFixed(2)}rem`);
  return html`<span class="share" ref=${width} aria-hidden="true"></span>`;
}
