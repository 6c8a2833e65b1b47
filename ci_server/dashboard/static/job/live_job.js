// A job that is kept up to date by what its stream tells.
import { requestJson } from "../lib/api.js";
import { useCallback, useLayoutEffect, useState } from "../lib/ui.js";

/** `{job, error, setJob, onEvent}`: `onEvent` takes the events of the job's stream. */
export function useJob(path) {
  const [job, setJob] = useState(null);
  const [error, setError] = useState(null);
  const load = useCallback(async () => {
    setError(null);
    try {
      setJob(await requestJson(path));
    } catch (problem) {
      setError(problem);
    }
  }, [path]);
  useLayoutEffect(() => {
    load(); // it was asked for early, and need not wait for what is painted
  }, [path]);
  const onEvent = useCallback(
    (event) => {
      setJob((before) => before && changed(before, event));
      if (event.type === "complete" || event.status === "running") load();
    },
    [load],
  );
  return { job, error, load, setJob, onEvent };
}

/** The job after an event. */
function changed(job, event) {
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
