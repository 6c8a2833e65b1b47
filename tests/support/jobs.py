"""Jobs for tests."""

import uuid
from datetime import UTC, datetime, timedelta

from ci_common.job import (
    Door,
    Job,
    JobSpec,
    JobStatus,
    Outcome,
    Package,
    Reason,
    ResourceLimits,
    Visibility,
)

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

_SOME_PACKAGE = Package(sha256="0" * 64, size=0)


def a_job(
    status=JobStatus.QUEUED,
    *,
    job_id=None,
    command=("true",),
    timeout=3600.0,
    limits=None,
    env=None,
    image=None,
    tenant="local",
    user="local",
    package=_SOME_PACKAGE,
    created_at=NOON,
    started_at=None,
    cancel_requested_at=None,
    outcome=None,
    log_size=None,
    priority=5,
    retries=0,
    attempt=1,
    install=None,
    tty=False,
    color=False,
    title=None,
    door=Door.NATIVE,
    visibility=Visibility.TENANT,
):
    """A job; what a test does not name is some valid value."""
    if status.is_terminal and outcome is None:
        outcome = Outcome(status, Reason.EXIT, "exited with code 0", 0)
        log_size = log_size or 0
    return Job(
        job_id=job_id or str(uuid.uuid4()),
        tenant=tenant,
        user=user,
        spec=JobSpec(
            command=tuple(command),
            env=env or {},
            image=image,
            limits=limits or ResourceLimits(timeout_seconds=timeout),
            priority=priority,
            retries=retries,
            install=install,
            tty=tty,
            color=color,
            title=title,
        ),
        package=package,
        status=status,
        created_at=created_at,
        started_at=started_at,
        cancel_requested_at=cancel_requested_at,
        outcome=outcome,
        log_size=log_size,
        attempt=attempt,
        door=door,
        visibility=visibility,
    )


class Clock:
    """A clock that stands still unless told otherwise."""

    def __init__(self, now=NOON):
        self.time = now

    def __call__(self):
        return self.time

    def advance(self, seconds):
        self.time += timedelta(seconds=seconds)
