"""Jobs without a package run in an empty workspace, whichever executor runs them.

No API of the server takes such jobs yet, so they come through its intake from another process.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest

from ci_common.job import utc_now
from ci_common.principal import LOCAL_PRINCIPAL
from ci_persistence.sqlite.audit import SqliteAuditLog
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.addresses import NO_PROXIES
from ci_server.submission.request import SubmissionRequest
from ci_server.wiring.services import build_services
from ci_server.wiring.stores import open_stores
from support.live_server import LiveServer


@pytest.fixture(scope="module")
def processes(tmp_path_factory, python_for_jobs):
    with LiveServer(
        tmp_path_factory.mktemp("empty-processes"),
        python=python_for_jobs,
        executor="process",
        environment={"DOCKER_HOST": "unix:///nonexistent/docker.sock"},
    ) as server:
        yield server.start().ready()


@pytest.fixture(params=[pytest.param("docker", marks=pytest.mark.docker), "process"])
def either(request):
    return request.getfixturevalue({"docker": "server", "process": "processes"}[request.param])


def submitted(server, script):
    """The id of a job that has this script, and no package."""

    async def submit():
        async with AsyncExitStack() as stack:
            stores = await open_stores(server.settings, stack)
            trail = AuditTrail(SqliteAuditLog(stores.database), utc_now)
            services = build_services(stores, trail, NO_PROXIES, stack)
            asked = SubmissionRequest(command=("/bin/sh", "-c", script))
            return await services.intake.accept(LOCAL_PRINCIPAL, None, asked)

    return asyncio.run(submit()).job_id


@pytest.mark.docker
def test_the_workspace_is_empty(server):
    job_id = submitted(server, "pwd; ls -A")
    job = server.finished(job_id)
    assert (job["status"], job["success"]) == ("completed", True)
    assert server.log(job_id) == b"/workspace\n"


def test_the_directory_of_a_process_is_empty(processes):
    job_id = submitted(processes, "pwd; ls -A")
    job = processes.finished(job_id)
    assert (job["status"], job["success"]) == ("completed", True)
    (directory,) = processes.log(job_id).decode().splitlines()
    assert job_id in directory


def test_it_is_told_and_can_leave_artifacts(either):
    job_id = submitted(either, "mkdir output && echo made > output/it && echo done")
    job = either.finished(job_id)
    assert (job["success"], job["package_size"], job["package_sha256"]) == (True, None, None)
    listed = either.http.get("/jobs", params={"limit": 1}).json()
    assert [(one["job_id"], one["package_size"]) for one in listed] == [(job_id, None)]
    assert either.http.get(f"/jobs/{job_id}/artifacts/output/it").content == b"made\n"


def test_it_can_be_cancelled(either):
    job_id = submitted(either, "echo up; exec sleep 1000")
    either.until(lambda: either.log(job_id), lambda log: b"up" in log)
    either.http.delete(f"/jobs/{job_id}").raise_for_status()
    assert either.finished(job_id)["status"] == "cancelled"
