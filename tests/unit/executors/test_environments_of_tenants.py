"""Installed requirements of jobs that run as processes: each tenant has its own, whole."""

import asyncio
import threading

import pytest

from ci_common.launch_step import LaunchStage
from ci_controller.executors.process import environments
from ci_controller.executors.process.environments import Environments
from ci_controller.running.launch_request import launch_request
from ci_persistence.files.data_directory import no_check
from ci_persistence.files.packages import StoredPackage
from support.archives import zip_bytes
from support.jobs import a_job
from support.waiting import until

pytestmark = pytest.mark.anyio


class NoLog:
    def append(self, content):
        pass


def a_package(tmp_path):
    path = tmp_path / "package.zip"
    path.write_bytes(zip_bytes({"requirements.txt": b"six\n"}))
    return StoredPackage("0" * 64, path.stat().st_size, path, no_check)


async def test_tenants_do_not_share_them(tmp_path, monkeypatch):
    built, stages = [], []

    async def build(self, build, transcript):
        built.append(build.environment)
        build.environment.mkdir(parents=True)
        (build.environment / "ready").touch()

    monkeypatch.setattr(Environments, "_build", build)
    package = a_package(tmp_path)
    found = Environments(tmp_path / "environments", 60)

    async def directory(tenant):
        request = launch_request(a_job(tenant=tenant), 1, (), package)
        return (await found.bin_directories(request, NoLog(), stages.append))[0]

    first = await directory("acme")
    assert await directory("acme") == first
    assert await directory("other") != first
    assert len(built) == 2
    assert stages == [LaunchStage.INSTALLING] * 2, "not where it is installed already"
    assert not any("acme" in str(path) or "other" in str(path) for path in built)


async def test_a_build_waits_for_the_end_of_one_that_was_given_up(tmp_path, monkeypatch):
    """Both work in the same directory, which the one that was given up removes at its end."""
    began, may_end = asyncio.Event(), asyncio.Event()
    installs = []

    async def install(self, build, step, transcript):
        installs.append(step)
        if len(installs) == 1:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                await may_end.wait()  # as for a process that was killed

    def prepare(build, interruption):
        build.environment.mkdir(parents=True)  # it must not be there

    monkeypatch.setattr(Environments, "_install", install)
    monkeypatch.setattr(environments, "_prepare", prepare)
    found = Environments(tmp_path / "environments", 60)
    request = launch_request(a_job(), 1, (), a_package(tmp_path))
    first = asyncio.create_task(found.bin_directories(request, NoLog()))
    await began.wait()
    first.cancel()
    second = asyncio.create_task(found.bin_directories(request, NoLog()))
    await asyncio.wait([second], timeout=0.05)
    may_end.set()
    (directory,) = await second
    assert directory.parent.is_dir()
    assert len(installs) == 2
    await asyncio.wait([first])
    assert first.cancelled()


async def test_a_build_that_is_given_up_ends_once_its_thread_has(tmp_path, monkeypatch):
    began, go_on, asked = threading.Event(), threading.Event(), []

    def prepare(build, interruption):
        asked.append(interruption)
        build.environment.mkdir(parents=True)
        began.set()
        assert go_on.wait(60)

    monkeypatch.setattr(environments, "_prepare", prepare)
    found = Environments(tmp_path / "environments", 60)
    request = launch_request(a_job(), 1, (), a_package(tmp_path))
    building = asyncio.create_task(found.bin_directories(request, NoLog()))
    await until(began.is_set, what="a thread at work")
    building.cancel()
    await asyncio.wait([building], timeout=0.05)
    ended = building.done()
    go_on.set()
    await asyncio.wait([building])
    assert (ended, asked[0].is_asked) == (False, True)
    assert list((tmp_path / "environments").iterdir()) == []
