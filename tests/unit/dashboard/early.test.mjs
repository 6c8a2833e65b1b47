// What is asked for early, and who gets it: `node --test`, run by test_log_modules.py.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

const { request, requestEarly } = await import(new URL("lib/api.js", process.env.MODULES));

let asked;
let fails = 0;
let givingUp;

const soon = globalThis.setTimeout;
globalThis.setTimeout = (act, pause) => (pause < 10_000 ? soon(act, pause) : (givingUp = act));

globalThis.fetch = async (url, { headers, signal }) => {
  asked.push([url.pathname.split("/").at(-1), headers?.Range ?? null, signal]);
  if (fails-- > 0) throw new TypeError("the network changed");
  return Response.json({ number: asked.length });
};

beforeEach(() => {
  asked = [];
  fails = 0;
});

const numberOf = async (...what) => (await (await request(...what)).json()).number;

test("the first who asks for the same gets the early answer", async () => {
  requestEarly("jobs", { parameters: { limit: 50 } });
  assert.equal(await numberOf("jobs", { parameters: { limit: 50 } }), 1);
  assert.equal(await numberOf("jobs", { parameters: { limit: 50 } }), 2);
});

test("whoever asks for something else does not", async () => {
  requestEarly("logs", { headers: { Range: "bytes=-5" } });
  assert.equal(await numberOf("logs", { headers: { Range: "bytes=-6" } }), 2);
  assert.equal(await numberOf("logs"), 3);
  assert.equal(await numberOf("logs", { method: "POST", headers: { Range: "bytes=-5" } }), 4);
  assert.equal(await numberOf("logs", { headers: { Range: "bytes=-5" } }), 1);
});

test("an early request that fails is made again", async () => {
  fails = 1;
  requestEarly("jobs");
  assert.equal(await numberOf("jobs"), 2);
});

test("it ends with the signal of the one who asks", async () => {
  const abort = new AbortController();
  requestEarly("jobs");
  await request("jobs", { signal: abort.signal });
  assert.ok(!asked[0][2].aborted);
  abort.abort();
  assert.ok(asked[0][2].aborted);
});

test("it ends when nobody has asked", async () => {
  requestEarly("jobs");
  givingUp();
  assert.ok(asked[0][2].aborted);
  assert.equal(await numberOf("jobs"), 2);
});

test("it does not end when somebody has", async () => {
  requestEarly("jobs");
  await request("jobs");
  givingUp();
  assert.ok(!asked[0][2].aborted);
});
