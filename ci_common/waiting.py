"""Why a job waits, for the person who waits for it.

It reveals nothing about other tenants: neither how many jobs they have, nor that they exist. That
the server is full can be inferred anyway, from a job with nothing ahead of it that does not start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ci_common.job import Job, JobStatus
from ci_common.launch_step import LaunchStage, LaunchStep
from ci_common.ports.rows import ServerLoad


class WaitReason(StrEnum):
    """Machine-readable and stable; `Waiting.message` is for humans. Clients must accept reasons
    that they do not know.
    """

    NO_CONTROLLER = "no_controller"
    """No controller is running, so no jobs are started."""
    ENGINE_DOWN = "engine_down"
    """The container engine does not answer."""
    ENGINE_DISTURBED = "engine_disturbed"
    """The container engine answers but starts no containers."""
    TENANT_LIMIT = "tenant_limit"
    """The tenant has reached its limit of running jobs."""
    SERVER_FULL = "server_full"
    """The server has reached its limit of running jobs, over all tenants."""
    QUEUE = "queue"
    """Other jobs of the tenant start first."""
    PULLING = "pulling"
    """The container image is being pulled."""
    INSTALLING = "installing"
    """The project is being installed."""
    RETRYING = "retrying"
    """The engine failed to start the job; the launch is retried."""
    RESTARTING = "restarting"
    """The job's container was lost, and the next attempt begins."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a job waits for."""

    reason: WaitReason
    message: str
    """For humans: a clause without a capital letter or a full stop."""
    ahead: int | None = None
    """For a queued job: how many jobs of its tenant start before it, if known."""


@dataclass(frozen=True, slots=True)
class JobSlots:
    """How many jobs run at once; `of_tenant` is `None` if a tenant may use all slots."""

    total: int
    of_tenant: int | None = None


def why_it_waits(
    job: Job, position: int | None, load: ServerLoad, slots: JobSlots, now: datetime
) -> Waiting | None:
    """What a job waits for; `None` for one that starts at once, or no longer waits. `position` is
    its place in the queue of its tenant, from 1.
    """
    if job.cancel_requested_at is not None or job.failing is not None:
        return None
    if job.status is JobStatus.QUEUED:
        ahead = None if position is None else position - 1
        return _trouble(load, now, ahead) or _queue(job.tenant, ahead, load.under_way, slots)
    if job.status is JobStatus.INITIALIZING:
        return _trouble(load, now) or _launch(job.launch_step, job.attempt)
    return None


def _trouble(load: ServerLoad, now: datetime, ahead: int | None = None) -> Waiting | None:
    """What blocks all jobs, if anything does."""
    state = load.controller
    if state is None or state.is_silent(now):
        return Waiting(WaitReason.NO_CONTROLLER, "no controller is running", ahead)
    if state.engine_is_disturbed:
        message = "the container engine starts no containers"
        return Waiting(WaitReason.ENGINE_DISTURBED, message, ahead)
    if state.engine_error is not None:
        return Waiting(WaitReason.ENGINE_DOWN, "the container engine does not respond", ahead)
    return None


def _queue(
    tenant: str, ahead: int | None, under_way: Mapping[str, int], slots: JobSlots
) -> Waiting | None:
    told = "" if not ahead else "1 job ahead" if ahead == 1 else f"{ahead} jobs ahead"
    then = f", {told}" if told else ""
    of_tenant = slots.of_tenant
    if of_tenant is not None and under_way.get(tenant, 0) >= of_tenant:
        message = f"your tenant runs {of_tenant} of {of_tenant} jobs{then}"
        return Waiting(WaitReason.TENANT_LIMIT, message, ahead)
    if sum(under_way.values()) >= slots.total:
        message = f"the server has reached its limit of running jobs{then}"
        return Waiting(WaitReason.SERVER_FULL, message, ahead)
    return Waiting(WaitReason.QUEUE, told, ahead) if told else None


def _launch(step: LaunchStep | None, attempt: int) -> Waiting | None:
    again = f" (attempt {attempt})" if attempt > 1 else ""
    if step is None:
        if not again:
            return None
        return Waiting(WaitReason.RESTARTING, f"its container was lost; starting again{again}")
    match step.stage:
        case LaunchStage.PULLING:
            return Waiting(WaitReason.PULLING, f"the container image is being pulled{again}")
        case LaunchStage.INSTALLING:
            return Waiting(WaitReason.INSTALLING, f"the project is being installed{again}")
        case LaunchStage.RETRYING:
            message = f"the container engine failed to start it; retrying, try {step.tries}{again}"
            return Waiting(WaitReason.RETRYING, message)
