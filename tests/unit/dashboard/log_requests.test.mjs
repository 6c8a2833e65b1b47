// What a log asks the server for, when answers fail or overtake each other: `node --test`, run by
// test_log_modules.py.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

globalThis.document = { querySelectorAll: () => [] };
mock.timers.enable({ apis: ["setTimeout"] });

let asked = [];
let count = 0;
globalThis.fetch = (_, { signal }) =>
  new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
    asked.push({ number: ++count, resolve, reject });
  });

const moduleOf = (name) => import(new URL(`log/${name}.js`, process.env.MODULES));
const { LogBytes, PIECE_BYTES } = await moduleOf("bytes");
const { Loader } = await moduleOf("loader");
const { LogLines } = await moduleOf("lines");

const settle = async () => {
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
};

/** The oldest request fails, and so does what repeats it. */
async function fail() {
  for (let time = 0; time < 2; time += 1) {
    asked.shift().reject(new TypeError("Failed to fetch"));
    await settle();
    mock.timers.tick(500);
    await settle();
  }
}

/** A log of four pieces, of which the last one is here. */
function endOfLog() {
  const bytes = new LogBytes();
  bytes.put(3 * PIECE_BYTES, new Uint8Array(10));
  return bytes;
}

beforeEach(() => {
  asked = [];
  count = 0;
});

test("an error is over when what failed is not wanted any more", async () => {
  const errors = [];
  const loader = new Loader("logs", endOfLog(), () => {}, (error) => errors.push(error));
  loader.want([0]);
  await fail();
  assert.equal(errors[0].code, "unreachable");
  loader.want([3]);
  mock.timers.tick(15_000);
  await settle();
  assert.equal(errors.at(-1), null);
});

test("the newest times are shown, in whatever order they come", async () => {
  const lines = new LogLines("logs", endOfLog(), () => lines.time(0));
  lines.time(0);
  lines.forgetTimes(0);
  lines.time(0);
  while (asked.length) {
    const { number, resolve } = asked.pop();
    resolve(Response.json({ size: 10, marks: [{ offset: 0, time: number > 1 ? "new" : "old" }] }));
    await settle();
  }
  assert.equal(lines.time(0), "new");
  assert.equal(lines.time(10), null);
});

test("times that could not be had are asked for again", async () => {
  mock.method(console, "info", () => {});
  const lines = new LogLines("logs", endOfLog(), () => {});
  lines.time(0);
  await fail();
  lines.time(0);
  asked.shift()?.resolve(Response.json({ size: 10, marks: [{ offset: 0, time: "now" }] }));
  await settle();
  assert.equal(lines.time(0), "now");
});
