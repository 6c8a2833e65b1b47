"""How a job ended, as a pure function of recorded facts."""

import signal
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ci_common.job import Job, JobStatus, Outcome, Reason
from ci_common.ports.workloads import Workload

LOST_OUTPUT = "some of its output may be missing from the log"

_LONGEST_SECONDS = 10 * 365 * 86400.0
"""More would not fit into a date."""


def deadline(job: Job, started_at: datetime) -> datetime:
    """When a command that started then must have ended."""
    return started_at + timedelta(seconds=min(job.spec.limits.timeout_seconds, _LONGEST_SECONDS))


@dataclass(frozen=True, slots=True)
class EndFacts:
    """What the process that records an end saw itself. Recorded times are by the wall clock, which
    may have been set between them.
    """

    stopped: Reason | None = None
    """Why it stopped the workload, if it did."""
    running_seconds: float | None = None
    """For how long, at most, the job ran."""


def outcome(
    job: Job, workload: Workload, log_dropped: int = 0, seen: EndFacts = EndFacts()
) -> Outcome:
    """How a job whose workload has exited ended. A function of recorded facts, so that whichever
    process records the end comes to the same result; what it saw itself corrects the clock.
    """
    ended = workload.finished_at
    code = workload.exit_code
    asked = job.cancel_requested_at
    stopped_so = seen.stopped is Reason.CANCELLED
    if asked is not None and (stopped_so or ended is None or ended >= asked):
        return Outcome(JobStatus.CANCELLED, Reason.CANCELLED, "cancelled while running", code)
    if _timed_out(job, workload, seen):
        seconds = job.spec.limits.timeout_seconds
        message = f"stopped: it ran longer than its timeout of {seconds:g} s"
        return Outcome(JobStatus.FAILED, Reason.TIMEOUT, message, code)
    if code != 0 and workload.oom_killed:
        limit = job.spec.limits.memory_mb
        bound = f"its memory limit of {limit} MiB" if limit else "the available memory"
        message = f"killed: it used more than {bound}"
        return Outcome(JobStatus.COMPLETED, Reason.OOM, message, code)
    message = f"exited with code {code}{_signal(code)}"
    if log_dropped:
        message += f"; its log is larger than {job.spec.limits.log_mb} MiB: the middle was left out"
        return Outcome(JobStatus.COMPLETED, Reason.LOG_LIMIT, message, code)
    return Outcome(JobStatus.COMPLETED, Reason.EXIT, message, code)


def _signal(code: int | None) -> str:
    """Which signal an exit code stands for, as shells have it."""
    try:
        name = signal.Signals((code or 0) - 128).name
    except ValueError:
        return ""
    if name == "SIGBUS":
        return f" ({name}: /dev/shm may be full; raise `shm` in the job's configuration)"
    return f" ({name})"


def note_lost_output(outcome: Outcome) -> Outcome:
    """The outcome of a job of whose output not all could be stored."""
    return replace(outcome, message=f"{outcome.message}; {LOST_OUTPUT}")


def _timed_out(job: Job, workload: Workload, seen: EndFacts) -> bool:
    if seen.stopped is Reason.TIMEOUT:
        return True
    if seen.running_seconds is not None and seen.running_seconds < job.spec.limits.timeout_seconds:
        return False
    # The earlier one: whoever stopped it for its time-out went by the row's.
    started = min(filter(None, (workload.started_at, job.started_at)), default=None)
    ended = workload.finished_at
    return bool(started and ended and ended >= deadline(job, started))
