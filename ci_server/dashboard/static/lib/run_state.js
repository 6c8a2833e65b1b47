// The state of a run, in the words of jobs.

const STATES = {
  pending: { status: "queued" },
  running: { status: "running" },
  completed: { status: "completed", success: true },
  failed: { status: "failed" },
  cancelled: { status: "cancelled" },
};

/** What `JobState` shows. */
export const stateOfRun = (run) => STATES[run.status] ?? { status: run.status };
