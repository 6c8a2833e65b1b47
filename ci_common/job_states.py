"""Where a job stands, and why it ended: names that every API and the client share.

`ci_common.job` has them, too. They are apart because the command line needs no more of a job, and
starts faster without it.
"""

from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job stands. Only the controller moves it."""

    QUEUED = "queued"
    """Accepted and durable. The controller claims it when a slot is free."""
    INITIALIZING = "initializing"
    """Claimed. The controller installs requirements and makes the workload."""
    RUNNING = "running"
    """The workload was started. The controller waits for its end."""
    COMPLETED = "completed"
    """The command ran to its own end; `success` tells whether it exited with 0."""
    FAILED = "failed"
    """The command could not run to its own end; `reason` tells why."""
    CANCELLED = "cancelled"
    """Somebody asked for it to stop, and it did."""

    @property
    def is_terminal(self) -> bool:
        """Whether the job can never move again."""
        return not TRANSITIONS[self]


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.INITIALIZING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.INITIALIZING: frozenset(
        {JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.RUNNING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}
"""The only moves there are within an attempt. `initializing -> completed` is a job that ended
before the controller could record that it runs. A retry begins the next attempt at `initializing`:
(attempt, status) never moves back."""


def sources_of(target: JobStatus) -> tuple[JobStatus, ...]:
    """The statuses from which a job may move to `target`, in life order."""
    return tuple(status for status in JobStatus if target in TRANSITIONS[status])


class Reason(StrEnum):
    """Why a job ended as it did. Machine-readable and stable; `Job.message` is for people."""

    EXIT = "exit"
    """The command ended by itself; see `exit_code`."""
    OOM = "oom"
    """The kernel killed the command because it used more memory than its limit."""
    TIMEOUT = "timeout"
    """The command was stopped because it ran longer than its `timeout`."""
    LOG_LIMIT = "log_limit"
    """The command ended by itself, but wrote more than its log may hold: the middle is missing."""
    CANCELLED = "cancelled"
    """Somebody cancelled the job."""
    SETUP_FAILED = "setup_failed"
    """The project's requirements could not be installed; the log tells why."""
    PACKAGE_CORRUPT = "package_corrupt"
    """The stored upload is gone or no longer what was uploaded."""
    IMAGE_UNAVAILABLE = "image_unavailable"
    """The container image is not on the engine and could not be pulled."""
    LAUNCH_FAILED = "launch_failed"
    """The container engine refused to make or start the container."""
    SECRETS_UNAVAILABLE = "secrets_unavailable"
    """The job's secrets are not stored here any more, or cannot be decrypted."""
    LOST = "lost"
    """The workload vanished without leaving an exit code."""
    DISK_FULL = "disk_full"
    """The server's disk had no room for the job's log."""
    INTERNAL = "internal"
    """A defect of the runner itself; the server's log has the details."""

    @property
    def is_infrastructure(self) -> bool:
        """Whether the runner, and not the job, is at fault."""
        return self in _INFRASTRUCTURE


_INFRASTRUCTURE = frozenset(
    {
        Reason.PACKAGE_CORRUPT,
        Reason.IMAGE_UNAVAILABLE,
        Reason.LAUNCH_FAILED,
        Reason.SECRETS_UNAVAILABLE,
        Reason.LOST,
        Reason.DISK_FULL,
        Reason.INTERNAL,
    }
)

LEFT_OUT = "artifacts left out: "
"""Begins the last part of the message of a job of whose artifacts, or reports, some are missing."""

WRONG_IMAGE = "check the name of the image"
"""In the message of a job whose image, which it asks for itself, its registry does not have."""
