// Search over a whole log, which the server does.
import { request } from "../lib/api.js";

/**
 * Search. Calls `onHits` with all hits so far, as they come, and whether that is all.
 * @param {string} path of the log's routes
 * @param {string} query literal text
 * @param {AbortSignal} signal
 * @param {(found: {hits: object[], searched: number, done: boolean, truncated: boolean}) => void} onHits
 * @throws {ApiError}
 */
export async function searchLog(path, query, signal, onHits) {
  const hits = [];
  const parameters = { q: query };
  const answer = await request(`${path}/search`, { parameters, signal });
  let told = 0;
  for await (const event of eventsOf(answer.body)) {
    if (event.type === "hit") hits.push(event);
    const done = event.type === "end";
    const searched = event.size ? event.offset / event.size : 0;
    if (done || performance.now() - told > 100) {
      told = performance.now();
      onHits({ hits: [...hits], searched, done, truncated: Boolean(event.truncated) });
    }
    if (done) return;
  }
  throw new Error("The search was interrupted.");
}

/** The JSON of each of the Server-Sent Events in a body. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value.replaceAll("\r\n", "\n")).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const data = /^data: ?(.*)$/m.exec(block);
        if (data) yield JSON.parse(data[1]);
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it has ended, or nobody waits for the rest
  }
}

/** What marks the query in rows; null for an empty one. */
export function patternOf(query) {
  return query ? new RegExp(query.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu") : null;
}
