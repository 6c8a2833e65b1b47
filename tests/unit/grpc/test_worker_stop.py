"""A call that stops a job does not wait for ever, and the wish stays."""

import asyncio

import grpc
import pytest

from ci_common.principal import Principal, Role
from ci_common.worker_api import worker_pb2 as messages
from ci_server.grpc import service
from ci_server.grpc.caller import Caller, set_caller
from ci_server.grpc.service import JobWorker, WorkerServices
from support.jobs import a_job

pytestmark = pytest.mark.anyio


class Aborted(Exception):
    """What `abort` raises."""


class Context:
    """Of a call."""

    async def abort(self, code, message):
        raise Aborted(code, message)


class Jobs:
    """One job that does not end."""

    def __init__(self):
        self.job = a_job()
        self.wishes = 0

    async def find(self, principal, text):
        return self.job

    async def cancel(self, principal, job_id):
        self.wishes += 1
        return self.job

    async def ended(self, job):
        await asyncio.Event().wait()


async def test_a_job_that_does_not_end(monkeypatch):
    monkeypatch.setattr(service, "STOP_SECONDS", 0.05)
    jobs = Jobs()
    set_caller(Caller(Principal("acme", "ann", Role.ADMIN), 1))
    worker = JobWorker(WorkerServices(None, jobs, jobs))
    with pytest.raises(Aborted) as aborted:
        await worker.StopJob(messages.StopJobReq(id=jobs.job.job_id), Context())
    code, message = aborted.value.args
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert jobs.job.job_id in message
    assert jobs.wishes == 1
