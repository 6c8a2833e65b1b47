// The list of jobs and its trends while answers and events cross: `node --test`, run by
// test_log_modules.py.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

globalThis.addEventListener = () => {};
globalThis.document = { hidden: false, addEventListener() {}, querySelectorAll: () => [] };
globalThis.location = new URL("http://server/ui/");
mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });

let stream;
globalThis.EventSource = class {
  constructor() {
    stream = this;
  }
};

/** What was asked for: the address, and what answers it. */
let asked = [];
globalThis.fetch = (url, { signal }) =>
  new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
    asked.push({ url, answer: resolve });
  });

const { JobList } = await import(new URL("lib/job_list.js", process.env.MODULES));
const { JobTrends } = await import(new URL("lib/job_trends.js", process.env.MODULES));
const { NO_FILTER } = await import(new URL("lib/job_filter.js", process.env.MODULES));

const settle = async () => {
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
};
const after = async (ms) => {
  mock.timers.tick(ms);
  await settle();
};
const tell = (event) => stream.onmessage({ data: JSON.stringify(event), lastEventId: "" });
const row = (name, status = "running") => ({
  job_id: name,
  name,
  status,
  success: status === "completed",
  submit_time: `2030-01-01T00:00:${name}Z`,
  end_time: status === "completed" ? "2030-01-02T00:00:00Z" : null,
  tenant: "t",
  title: null,
});
const ENOUGH = Array.from({ length: 20 }, (_, at) => row(String(59 - at), "completed"));

/** Answer the oldest request that waits. */
async function answer(rows, more = false) {
  const headers = more ? { "X-Next-Cursor": "more" } : {};
  asked.shift().answer(Response.json(rows, { headers }));
  await settle();
}

async function breakOff() {
  const body = new ReadableStream({ pull: (sent) => sent.error(new TypeError("network error")) });
  asked.shift().answer(new Response(body));
  await settle();
}

const stateOf = (list, name) => list.jobs.find((job) => job.job_id === name)?.status;

/** A list that has more jobs than these, and is up to date. */
async function begun() {
  const list = new JobList();
  list.start(NO_FILTER);
  tell({ type: "begin" });
  await answer(ENOUGH, true);
  await after(2_000);
  await answer(ENOUGH, true);
  assert.deepEqual(asked, []);
  return list;
}

beforeEach(() => {
  asked = [];
});

test("a job that ends while it is being loaded is shown as it is", async () => {
  const list = await begun();
  list.loadMore();
  await settle();
  tell({ type: "job", kind: "finished", job_id: "05" });
  await answer([row("05"), row("04")]);
  assert.equal(stateOf(list, "05"), "running");
  await after(2_000);
  assert.deepEqual(asked[0].url.searchParams.getAll("id"), ["05"]);
  await answer([row("05", "completed")]);
  assert.equal(stateOf(list, "05"), "completed");
  assert.equal(stateOf(list, "04"), "running");
});

test("a job that is deleted while another list is being loaded is not in it", async () => {
  const list = await begun();
  list.show({ ...NO_FILTER, name: "x" });
  await settle();
  tell({ type: "job", kind: "deleted", job_id: "05" });
  await answer([...ENOUGH, row("05")]);
  assert.equal(stateOf(list, "05"), "running");
  await after(2_000);
  assert.equal(stateOf(list, "05"), undefined);
  assert.equal(list.jobs.length, ENOUGH.length);
});

test("what an interrupted answer would have told is asked for again", async () => {
  const list = await begun();
  tell({ type: "job", kind: "started", job_id: "59" });
  await after(2_000);
  await breakOff();
  await after(4_000);
  await answer([row("59")]);
  assert.equal(stateOf(list, "59"), "running");
});

test("trends are asked for again after an interrupted answer", async () => {
  const trends = new JobTrends();
  trends.want([row("a")]);
  await after(0);
  await breakOff();
  await after(10_000);
  await answer([{ tenant: "t", name: "a", runs: [] }]);
  assert.equal(trends.of(row("a"))?.name, "a");
});

test("a trend is read again for a job that ended before one of another name", async () => {
  const trends = new JobTrends();
  trends.want([row("a"), row("b", "completed")]);
  await after(0);
  await answer([]);
  trends.want([{ ...row("a", "completed"), end_time: "2030-01-01T00:00:00Z" }]);
  await after(3_000);
  assert.deepEqual(asked[0]?.url.searchParams.getAll("name"), ["a"]);
});
