// What a job's event stream tells: its state, and what its log has more.
import { EventStream } from "../lib/event_stream.js";

/**
 * Follow a job from an offset of its log on, to its end.
 * @param {string} path of the job in the API
 * @param {number} offset
 * @param {object} handlers
 * @param {(offset: number, bytes: Uint8Array) => void} handlers.onLog gets where the bytes begin
 * @param {(event: object) => void} handlers.onEvent gets all other events
 * @param {(state: "open" | "waiting" | "ended") => void} handlers.onState of the connection
 * @returns {EventStream}
 */
export function followJob(path, offset, { onLog, onEvent, onState }) {
  const encoder = new TextEncoder();
  return new EventStream(`${path}/stream`, {
    onState,
    parameters: (lastId) => ({ offset: lastId ? Number.parseInt(lastId, 10) : offset }),
    onEvent: (event, id) => {
      if (event.type === "log") {
        const bytes = event.raw ? bytesOf(event.raw) : encoder.encode(event.data);
        onLog(Number(id) - bytes.length, bytes);
        return false;
      }
      onEvent(event);
      return event.type === "complete";
    },
  });
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
