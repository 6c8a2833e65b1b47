"""Why a job waits, for whoever waits for it.

It says nothing of another tenant: neither how many jobs it has, nor that there is one. That all
places of the server are taken can be told from a job with nothing ahead of it that does not start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ci_common.job import Job, JobStatus
from ci_common.launch_step import LaunchStage, LaunchStep
from ci_common.ports.rows import ServerLoad


class WaitReason(StrEnum):
    """Machine-readable and stable; `Waiting.message` is for people. Clients take one that they do
    not know for a reason like any other.
    """

    NO_CONTROLLER = "no_controller"
    """No controller is running, so that no job is started."""
    ENGINE_DOWN = "engine_down"
    """The container engine does not answer."""
    ENGINE_DISTURBED = "engine_disturbed"
    """The container engine answers, and starts no container."""
    TENANT_LIMIT = "tenant_limit"
    """The tenant runs as many jobs as any tenant may."""
    SERVER_FULL = "server_full"
    """The server runs as many jobs as it may, of whichever tenants."""
    QUEUE = "queue"
    """Other jobs of the tenant start first."""
    PULLING = "pulling"
    """The container image is being pulled."""
    INSTALLING = "installing"
    """The project is being installed."""
    RETRYING = "retrying"
    """The engine failed to start the job, which is tried again."""
    RESTARTING = "restarting"
    """The job's container was lost, and the next attempt begins."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a job waits for."""

    reason: WaitReason
    message: str
    """For people: a clause without a capital letter or a full stop."""
    ahead: int | None = None
    """Of a queued job: how many jobs of its tenant start before it, where that is known."""


@dataclass(frozen=True, slots=True)
class JobSlots:
    """How many jobs run at once; of one tenant `None` means that it may have all."""

    total: int
    of_tenant: int | None = None


def why_it_waits(
    job: Job, position: int | None, load: ServerLoad, slots: JobSlots, now: datetime
) -> Waiting | None:
    """What a job waits for; `None` for one that starts at once, or waits no more. `position` is
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
    """What keeps all jobs waiting, if anything does."""
    state = load.controller
    if state is None or state.is_silent(now):
        return Waiting(WaitReason.NO_CONTROLLER, "no controller is running", ahead)
    if state.engine_is_disturbed:
        message = "the container engine starts no containers"
        return Waiting(WaitReason.ENGINE_DISTURBED, message, ahead)
    if state.engine_error is not None:
        return Waiting(WaitReason.ENGINE_DOWN, "the container engine does not answer", ahead)
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
        message = f"the server runs as many jobs as it may{then}"
        return Waiting(WaitReason.SERVER_FULL, message, ahead)
    return Waiting(WaitReason.QUEUE, told, ahead) if told else None


def _launch(step: LaunchStep | None, attempt: int) -> Waiting | None:
    again = f" (attempt {attempt})" if attempt > 1 else ""
    if step is None:
        if not again:
            return None
        return Waiting(WaitReason.RESTARTING, f"its container was lost, starting again{again}")
    match step.stage:
        case LaunchStage.PULLING:
            return Waiting(WaitReason.PULLING, f"the container image is being pulled{again}")
        case LaunchStage.INSTALLING:
            return Waiting(WaitReason.INSTALLING, f"the project is being installed{again}")
        case LaunchStage.RETRYING:
            message = f"the container engine failed to start it, try {step.tries} follows{again}"
            return Waiting(WaitReason.RETRYING, message)
