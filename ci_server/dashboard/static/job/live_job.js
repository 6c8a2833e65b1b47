// A job that is kept up to date by what its stream tells.
import { requestJson } from "../lib/api.js";
import { isFinal } from "../lib/job_state.js";
import { useLatest } from "../lib/latest.js";
import { useCallback, useLayoutEffect, useRef, useState } from "../lib/ui.js";

/**
 * `{job, error, load, onAnswer, onEvent}`: `onEvent` takes the events of the job's stream, `onAnswer`
 * the job as another request told it.
 */
export function useJob(path) {
  const [job, setJob] = useState(null);
  const [error, setError] = useState(null);
  const asking = useLatest();
  const news = useRef([]); // while an answer is waited for, the events that it may be older than
  const load = useCallback(async () => {
    const isLatest = asking();
    news.current = [];
    setError(null);
    try {
      const found = await requestJson(path);
      if (!isLatest()) return;
      const since = news.current;
      setJob((before) => since.reduce(changed, newer(before, found)));
      news.current = null;
    } catch (problem) {
      if (isLatest()) setError(problem);
    }
  }, [path]);
  useLayoutEffect(() => {
    load(); // it was asked for early, and need not wait for what is painted
  }, [path]);
  const onAnswer = useCallback(
    (found) => {
      setJob((before) => newer(before, found));
      load(); // the answer may be older than what is shown, or newer than one that comes later
    },
    [load],
  );
  const onEvent = useCallback(
    (event) => {
      news.current?.push(event);
      setJob((before) => before && changed(before, event));
      if (event.type === "complete" || event.status === "running") load();
    },
    [load],
  );
  return { job, error, load, onAnswer, onEvent };
}

/** A job that is over stays so. */
const newer = (before, found) => (before && isFinal(before) && !isFinal(found) ? before : found);

/** The job after an event. */
function changed(job, event) {
  if (event.type !== "complete" && isFinal(job)) return job; // it happened before the end
  if (event.type === "waiting") {
    const { reason, message, ahead } = event;
    return { ...job, waiting: { reason, message, ahead } };
  }
  if (event.type === "status") {
    const waits = event.status === "queued" || event.status === "initializing";
    const waiting = waits && event.status === job.status ? job.waiting : null;
    return { ...job, status: event.status, position: event.position ?? null, waiting };
  }
  if (event.type === "complete") {
    const { type, ...facts } = event;
    return { ...job, ...facts, position: null, waiting: null };
  }
  return job;
}
