"""Installed requirements of jobs that run as processes: each tenant has its own."""

import pytest

from ci_common.launch_step import LaunchStage
from ci_controller.executors.process.environments import Environments
from ci_controller.running.launch_request import launch_request
from ci_persistence.files.data_directory import no_check
from ci_persistence.files.packages import StoredPackage
from support.archives import zip_bytes
from support.jobs import a_job

pytestmark = pytest.mark.anyio


class NoLog:
    def append(self, content):
        pass


async def test_tenants_do_not_share_them(tmp_path, monkeypatch):
    built, stages = [], []

    async def build(self, build, transcript):
        built.append(build.environment)
        build.environment.mkdir(parents=True)
        (build.environment / "ready").touch()

    monkeypatch.setattr(Environments, "_build", build)
    path = tmp_path / "package.zip"
    path.write_bytes(zip_bytes({"requirements.txt": b"six\n"}))
    package = StoredPackage("0" * 64, path.stat().st_size, path, no_check)
    environments = Environments(tmp_path / "environments", 60)

    async def directory(tenant):
        request = launch_request(a_job(tenant=tenant), 1, (), package)
        return (await environments.bin_directories(request, NoLog(), stages.append))[0]

    first = await directory("acme")
    assert await directory("acme") == first
    assert await directory("other") != first
    assert len(built) == 2
    assert stages == [LaunchStage.INSTALLING] * 2, "not where it is installed already"
    assert not any("acme" in str(path) or "other" in str(path) for path in built)
