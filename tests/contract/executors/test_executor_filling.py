"""A launch that is cancelled while the project is being unpacked."""

import asyncio
from contextlib import suppress

import pytest

from ci_common.ports.workloads import WorkloadState
from support.endless_project import EndlessProject
from support.executors import collect

pytestmark = pytest.mark.anyio


@pytest.fixture
def endless(monkeypatch):
    return EndlessProject(monkeypatch)


def job(bench):
    return bench.job("import os; print(sorted(os.listdir()))", files={"file.txt": b"content\n"})


async def test_a_cancel_does_not_wait_for_the_rest_of_the_project(bench, endless):
    """Which never comes here."""
    wanted = job(bench)
    launching = asyncio.create_task(bench.launch(wanted))
    await endless.in_the_midst(launching)
    launching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await launching
    for seen in await bench.executor.list_workloads():
        assert (seen.job_id, seen.state) == (wanted.job_id, WorkloadState.CREATED)
    await bench.executor.remove(wanted.job_id)
    assert bench.leftovers() == []


async def test_what_a_cancelled_launch_left_is_replaced(bench, endless):
    wanted = job(bench)
    launching = asyncio.create_task(bench.launch(wanted))
    await endless.in_the_midst(launching)
    launching.cancel()
    with suppress(asyncio.CancelledError):
        await launching
    endless.is_on = False
    assert await collect(await bench.launch(wanted)) == b"['file.txt']\n"
    await bench.executor.remove(wanted.job_id)
