// The exact settings of a job, and how to do the same elsewhere.
import { CopyButton } from "../lib/copy.js";
import { requestJson } from "../lib/api.js";
import { commandLine } from "../lib/shell_quote.js";
import { bytes } from "../lib/sizes.js";
import { duration, moment } from "../lib/time.js";
import { html, useEffect, useState } from "../lib/ui.js";
import { dockerLine, submitLine } from "./reproduce.js";

export function JobDetails({ job }) {
  const image = useImage(job);
  return html`
    <h2>How to reproduce</h2>
    <p>In the project's directory${job.git?.commit && html`, at commit <code>${job.git.commit}</code>`}:</p>
    <${Line} text=${submitLine(job)} />
    ${image && html`<p>Without a server; what the job installs has to be in the image:</p>
      <${Line} text=${dockerLine(job, image)} />`}
    <h2>Settings</h2>
    <dl class="facts">
      ${settingsOf(job, image).map(
        ([name, value]) => html`<dt key=${name}>${name}</dt>
          <dd>${value}</dd>`,
      )}
    </dl>
  `;
}

/** The image that the job runs in: its own, or the server's default; null when there is none. */
function useImage(job) {
  const own = job.settings ? job.settings.image : job.image;
  const [standard, setStandard] = useState(null);
  useEffect(() => {
    if (own || job.settings) return;
    requestJson("server").then(
      (server) => setStandard(server.executor === "docker" ? server.image : null),
      () => setStandard(null),
    );
  }, [own]);
  return own ?? standard;
}

function Line({ text }) {
  return html`<div class="command"><pre tabindex="0"><code>${text}</code></pre><${CopyButton} text=${text} /></div>`;
}

function settingsOf(job, image) {
  const settings = job.settings ?? {};
  const limits = settings.limits ?? { timeout_seconds: job.timeout };
  const rows = [
    ["Command", html`<code>${commandLine(job.command ?? [])}</code>`],
    ["Image", image && html`<code>${image}</code>`],
    ["Variables", list(settings.env)],
    ["Secrets", list(job.secrets)],
    ["Artifacts", list(settings.artifacts)],
    ["Installed", settings.install && (settings.install.length ? list(settings.install) : "nothing")],
    ["Timeout", limits.timeout_seconds && duration(limits.timeout_seconds)],
    ["CPU", limits.cpu_percent && `${limits.cpu_percent} % of one core`],
    ["Memory", limits.memory_mb && `${limits.memory_mb} MiB`],
    ["Processes", limits.pids],
    ["Network", limits.network],
    ["Log", limits.log_mb && `${limits.log_mb} MiB at most`],
    ["Retries", settings.retries],
    ["Package", job.package_size !== null && html`${bytes(job.package_size)}, SHA-256 <code>${job.package_sha256}</code>`],
    ["Git", job.git && gitOf(job.git)],
    ["Submitted", moment(job.submit_time)],
    ["Started", job.start_time && moment(job.start_time)],
    ["Ended", job.end_time && moment(job.end_time)],
    ["Exit code", job.exit_code],
    ["Lost output", job.log_dropped === "unknown" ? "unknown" : job.log_dropped && bytes(job.log_dropped)],
    ["Tenant", job.tenant],
  ];
  return rows.filter(([, value]) => value || value === 0);
}

const list = (values) =>
  values?.length ? values.map((each) => html`<code key=${each}>${each}</code> `) : null;

function gitOf(git) {
  return html`<code>${git.commit}</code>${git.branch && ` on ${git.branch}`}${git.describe && `, ${git.describe}`}
    ${git.dirty && ", with changes"}${git.remote && html`<br /><code>${git.remote}</code>`}`;
}
