// Submitting a zip: dropped anywhere on the page, or chosen.
import { pageUrl, requestJson } from "../../lib/api.js";
import { Dialog } from "../../lib/dialog.js";
import { UploadIcon } from "../../lib/icons.js";
import { Problem } from "../../lib/shell.js";
import { bytes } from "../../lib/sizes.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../lib/ui.js";
import { upload } from "../../lib/upload.js";
import { maySubmit, whyNotSubmit } from "../../lib/caller.js";

/** While files are dragged over the window, say what dropping does. `onFile` gets the file. */
export function DropZone({ caller, onFile }) {
  const [isOver, setOver] = useState(false);
  const may = maySubmit(caller);
  // Before the page is painted: without a listener the browser opens what is dropped on it.
  useLayoutEffect(() => {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const over = (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault(); // else the browser opens the file in place of the page
      event.dataTransfer.dropEffect = may ? "copy" : "none";
      setOver(true);
    };
    const leave = (event) => event.relatedTarget === null && setOver(false);
    const drop = (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      if (may && event.dataTransfer.files.length) onFile(event.dataTransfer.files[0]);
    };
    const handlers = { dragenter: over, dragover: over, dragleave: leave, drop };
    for (const [name, handler] of Object.entries(handlers)) addEventListener(name, handler);
    return () => {
      for (const [name, handler] of Object.entries(handlers)) removeEventListener(name, handler);
    };
  }, [may, onFile]);
  if (!isOver) return null;
  return html`<div class="drop" role="status">
    <p><${UploadIcon} /> ${may ? "Drop a zip of the project to submit it" : whyNotSubmit(caller)}</p>
  </div>`;
}

/** The form; `file` is what was dropped, or null. */
export function SubmitDialog({ file: dropped, onClose }) {
  const [file, setFile] = useState(dropped);
  const [error, setError] = useState(null);
  const [share, setShare] = useState(null); // sent so far; null when nothing is being sent
  const limits = useLimits();
  const sending = useRef(null);
  const problem = problemOf(file, limits);
  useLayoutEffect(() => setFile(dropped), [dropped]); // before a reader can choose another
  useEffect(() => () => sending.current?.abort(), []);
  const submit = async (event) => {
    event.preventDefault();
    setError(null);
    setShare(0);
    sending.current = upload("submit-async", formOf(file, new FormData(event.target)), setShare);
    try {
      const { job_id: jobId } = await sending.current.answer;
      location.assign(pageUrl(`jobs/${jobId}`));
    } catch (refused) {
      setShare(null);
      if (refused.code !== "aborted") setError(refused);
    }
  };
  return html`<${Dialog} title="Submit a project" onClose=${onClose}>
    <form class="submit" onSubmit=${submit}>
      <${FileField} file=${file} onFile=${setFile} limits=${limits} />
      ${problem && html`<p class="field-problem" role="alert">${problem}</p>`}
      <${SpecFields} />
      ${error && html`<${Problem} error=${error} />`}
      ${share !== null && html`<${Sent} share=${share} />`}
      <div class="buttons">
        <button type="button" onClick=${() => (share === null ? onClose() : sending.current.abort())}>
          Cancel
        </button>
        <button class="primary" disabled=${!file || Boolean(problem) || share !== null}>Submit</button>
      </div>
    </form>
  <//>`;
}

function FileField({ file, onFile, limits }) {
  return html`<label class="file"
    >Zip of the project
    <input type="file" accept=".zip,application/zip" onChange=${(event) => onFile(event.target.files[0] ?? null)} />
    <span class="faint">
      ${file
        ? html`<bdi>${file.name}</bdi>, ${bytes(file.size)}`
        : `or drop it on the page${limits ? `; at most ${bytes(limits.max_upload_bytes)}` : ""}`}
    </span>
  </label>`;
}

function SpecFields() {
  return html`
    <label><span>Command <span class="faint">instead of the configured one</span></span>
      <input name="command" class="mono" autocomplete="off" spellcheck="false" placeholder="pytest -q" />
    </label>
    <div class="pair">
      <label><span>Name <span class="faint">of the job, as configured</span></span>
        <input name="job" autocomplete="off" spellcheck="false" maxlength="64" placeholder="test" />
      </label>
      <label><span>Image <span class="faint">instead of the configured one</span></span>
        <input name="image" class="mono" autocomplete="off" spellcheck="false" maxlength="500" placeholder="python:3.13" />
      </label>
    </div>
  `;
}

function Sent({ share }) {
  const percent = Math.floor(share * 100);
  return html`<label class="sent"
    >${percent < 100 ? `Uploading: ${percent}%` : "The server checks the package"}
    <progress value=${share} max="1"></progress>
  </label>`;
}

function useLimits() {
  const [limits, setLimits] = useState(null);
  useEffect(() => {
    requestJson("limits").then(setLimits, () => {}); // without, the server refuses what is too large
  }, []);
  return limits;
}

/** What the server would refuse after the whole upload. */
function problemOf(file, limits) {
  if (!file) return null;
  if (!/\.zip$/i.test(file.name)) return "This is not a zip file. Pack the project's directory as a zip.";
  if (limits && file.size > limits.max_upload_bytes) {
    return `The file is too large: this server accepts at most ${bytes(limits.max_upload_bytes)}.`;
  }
  return null;
}

/** The form of the API. A command is a line for the shell, as one would type it. */
function formOf(file, fields) {
  const given = (name) => fields.get(name).trim();
  const spec = {};
  if (given("job")) spec.job = given("job");
  if (given("image")) spec.image = given("image");
  if (given("command")) spec.command = ["/bin/sh", "-c", given("command")];
  const form = new FormData();
  form.append("spec", JSON.stringify(spec));
  form.append("file", file);
  return form;
}
