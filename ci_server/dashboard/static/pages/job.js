// One job: what it is, its log, and what it left.
import { pageUrl } from "../lib/api.js";
import { ACTION_KEYS } from "../job/actions.js";
import { JobHead } from "../job/head.js";
import { useJob } from "../job/live_job.js";
import { NoJob } from "../job/no_job.js";
import { JOB_ID, PATH } from "../job/path.js";
import { isFinal, stateOf } from "../lib/job_state.js";
import { lazy } from "../lib/lazy.js";
import { percent } from "../lib/percent.js";
import { Problem, showPage } from "../lib/shell.js";
import { bytes } from "../lib/sizes.js";
import { TabPanel, Tabs, useChosenTab } from "../lib/tabs.js";
import { html, useEffect, useState } from "../lib/ui.js";
import { LOG_KEYS, LogPanel } from "../log/panel.js";

const ArtifactsList = lazy(async () => (await import("../job/artifacts_list.js")).ArtifactsList);
const CoverageList = lazy(async () => (await import("../job/coverage_list.js")).CoverageList);
const JobDetails = lazy(async () => (await import("../job/details.js")).JobDetails);
const Resources = lazy(async () => (await import("../job/resources.js")).Resources);
const TestsList = lazy(async () => (await import("../job/tests_list.js")).TestsList);

/** When the log is shown, the other parts are loaded, so that they come at once when chosen. */
const loadParts = () => {
  for (const part of [ArtifactsList, CoverageList, JobDetails, Resources, TestsList]) part.load();
};

const MODEL = pageUrl(`models/${encodeURIComponent(JOB_ID)}`);

function JobPage() {
  const { job, error, load, onAnswer, onEvent } = useJob(PATH);
  const tabs = tabsOf(job);
  const [chosen, choose] = useChosenTab(tabs);
  const [find, setFind] = useState(null);
  useTitle(job);
  const live = job && !isFinal(job);
  const findInLog = (text) => {
    choose("log");
    setFind({ text });
  };
  if (error && !job) return html`<${NoJob} error=${error} retry=${load} />`;
  return html`
    ${job && html`<${JobHead} job=${job} onChange=${onAnswer} />`}
    ${error && html`<${Problem} error=${error} retry=${load} />`}
    <${Tabs} tabs=${tabs} chosen=${chosen} choose=${choose} label="Parts of the job" />
    <${TabPanel} name="log" chosen=${chosen}>
      <${LogPanel} path=${PATH} live=${live} size=${job?.log_size ?? null} hidden=${chosen !== "log"}
        onEvent=${onEvent} find=${find} onShown=${loadParts} />
    <//>
    ${job && tabs.slice(1).map(
      ({ name, content }) => html`<${TabPanel} key=${name} name=${name} chosen=${chosen}>${content(findInLog, live)}<//>`,
    )}
  `;
}

/** The parts that this job has. */
function tabsOf(job) {
  const tabs = [{ name: "log", title: "Log" }];
  if (job?.tests) {
    const many = job.tests.failed + job.tests.errors;
    tabs.push({
      name: "tests",
      title: "Tests",
      note: many ? `${many} failed` : `${job.tests.total}`,
      bad: many > 0,
      content: (find) => html`<${TestsList} tests=${job.tests} find=${find} />`,
    });
  }
  if (job?.coverage) {
    tabs.push({
      name: "coverage",
      title: "Coverage",
      note: percent(job.coverage.rate ?? 0),
      content: () => html`<${CoverageList} path=${PATH} coverage=${job.coverage} />`,
    });
  }
  if (job?.artifacts_size) {
    tabs.push({
      name: "artifacts",
      title: "Artifacts",
      note: bytes(job.artifacts_size),
      content: () => html`<${ArtifactsList} path=${PATH} model=${MODEL} />`,
    });
  }
  if (job?.start_time) {
    tabs.push({
      name: "resources",
      title: "Resources",
      content: (_, live) => html`<${Resources} path=${PATH} live=${live} />`,
    });
  }
  tabs.push({ name: "details", title: "Details", content: () => html`<${JobDetails} job=${job} />` });
  return tabs;
}

function useTitle(job) {
  const title = job && `${job.title ?? job.name} ${stateOf(job)} · CI runner`;
  useEffect(() => {
    if (title) document.title = title;
  }, [title]);
}

showPage(JobPage, [...LOG_KEYS, ...ACTION_KEYS]);
