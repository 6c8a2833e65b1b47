"""Why jobs wait: in which words, and at what cost."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.job import JobStatus
from ci_common.launch_step import LaunchStage, LaunchStep
from ci_common.ports.rows import ControllerState, ServerLoad
from ci_common.waiting import JobSlots, Waiting, WaitReason, why_it_waits
from ci_server.streams import wait_reasons
from ci_server.streams.wait_reasons import WaitReasons
from support.jobs import NOON, a_job

pytestmark = pytest.mark.anyio

WELL = ControllerState(NOON, None)
DOWN = ControllerState(NOON, "the daemon is away")
DISTURBED = ControllerState(NOON, "engine_disturbed: no space")
SILENT = ControllerState(NOON - timedelta(seconds=11), None)


FOUR = JobSlots(4)
FULL = "the server has reached its limit of running jobs"


def queued(position, load, slots=FOUR):
    return why_it_waits(a_job(tenant="a"), position, load, slots, NOON)


def launched(step=None, attempt=1, controller=WELL, **changes):
    job = replace(a_job(), status=JobStatus.INITIALIZING, attempt=attempt, launch_step=step)
    return why_it_waits(replace(job, **changes), None, ServerLoad(controller), JobSlots(4), NOON)


@pytest.mark.parametrize(
    ("position", "under_way", "slots", "told"),
    [
        (1, {}, JobSlots(4), None),
        (None, {}, JobSlots(4), None),
        (2, {}, JobSlots(4), Waiting(WaitReason.QUEUE, "1 job ahead", 1)),
        (3, {"a": 3}, JobSlots(4), Waiting(WaitReason.QUEUE, "2 jobs ahead", 2)),
        (
            1,
            {"a": 2},
            JobSlots(4, 2),
            Waiting(WaitReason.TENANT_LIMIT, "your tenant runs 2 of 2 jobs", 0),
        ),
        (
            3,
            {"a": 3, "b": 5},
            JobSlots(8, 2),
            Waiting(WaitReason.TENANT_LIMIT, "your tenant runs 2 of 2 jobs, 2 jobs ahead", 2),
        ),
        (
            1,
            {"secret": 4},
            JobSlots(4, 2),
            Waiting(WaitReason.SERVER_FULL, FULL, 0),
        ),
        (
            None,
            {"a": 4},
            JobSlots(4),
            Waiting(WaitReason.SERVER_FULL, FULL, None),
        ),
    ],
)
def test_a_queued_job(position, under_way, slots, told):
    assert queued(position, ServerLoad(WELL, under_way), slots) == told


@pytest.mark.parametrize(
    ("controller", "reason"),
    [
        (None, WaitReason.NO_CONTROLLER),
        (SILENT, WaitReason.NO_CONTROLLER),
        (DOWN, WaitReason.ENGINE_DOWN),
        (DISTURBED, WaitReason.ENGINE_DISTURBED),
    ],
)
def test_what_keeps_all_jobs_waiting_comes_first(controller, reason):
    waiting = queued(3, ServerLoad(controller, {"a": 4}))
    assert (waiting.reason, waiting.ahead) == (reason, 2)
    assert launched(LaunchStep(LaunchStage.PULLING), controller=controller).reason is reason
    for detail in ("daemon", "space"):
        assert detail not in waiting.message, "the operator's details are not for everybody"


def test_a_job_that_is_launched():
    assert launched() is None
    pulling = launched(LaunchStep(LaunchStage.PULLING))
    assert pulling == Waiting(WaitReason.PULLING, "the container image is being pulled")
    installing = launched(LaunchStep(LaunchStage.INSTALLING), attempt=2)
    assert installing.message == "the project is being installed (attempt 2)"
    retrying = launched(LaunchStep(LaunchStage.RETRYING, 3))
    assert retrying.message == "the container engine failed to start it; retrying, try 3"
    again = launched(attempt=2)
    assert again.reason is WaitReason.RESTARTING
    assert again.message == "its container was lost; starting again (attempt 2)"


def test_a_job_that_does_not_wait():
    for status in set(JobStatus) - {JobStatus.QUEUED, JobStatus.INITIALIZING}:
        assert launched(LaunchStep(LaunchStage.PULLING), status=status) is None
    assert launched(controller=DOWN, cancel_requested_at=NOON) is None


class Rows:
    """Counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    async def server_load(self):
        self.asked += 1
        await asyncio.sleep(0)
        return ServerLoad(WELL, {"b": 4})


async def test_all_watchers_share_a_look_whichever_tenants_they_are_of(monkeypatch):
    monkeypatch.setattr(wait_reasons, "_FRESH_SECONDS", 3600.0)
    rows = Rows()
    reasons = WaitReasons(rows, JobSlots(4), lambda: NOON)
    jobs = [a_job(tenant=f"t{number}") for number in range(1000)]
    for _ in range(4):
        told = await asyncio.gather(*(reasons.of(job, 1) for job in jobs))
        assert {waiting.reason for waiting in told} == {WaitReason.SERVER_FULL}
    assert rows.asked == 1


async def test_nobody_asks_for_jobs_that_do_not_wait():
    rows = Rows()
    running = replace(a_job(), status=JobStatus.RUNNING)
    assert await WaitReasons(rows, JobSlots(4), lambda: NOON).of(running, None) is None
    assert rows.asked == 0
