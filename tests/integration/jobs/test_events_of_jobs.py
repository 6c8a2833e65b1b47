"""What a reader of events in another process sees of jobs on a real server."""

import asyncio
import json
import os
import signal
import tempfile
from pathlib import Path

import pytest

from ci_common.policy import JobScope
from ci_persistence.database.database import Database
from support import projects
from support.event_readers import EventReader
from support.waiting import until

pytestmark = pytest.mark.anyio

TABLE = """
[tool.ci.jobs.train]
command = ["sh", "train.sh"]
retries = 1
"""
TRAIN = """
say() { echo "::progress {\\"current\\":$1,\\"total\\":3,\\"phase\\":\\"train\\"}"; }
say 1
while [ ! -e go ]; do sleep 0.02; done
say 2; say 3
"""
LIFE = ["submitted", "claimed", "started"]


@pytest.fixture(params=["embedded", "external"])
async def server(request, own_server, python_for_jobs):
    """With `external`, jobs are added by one process and moved by another."""
    server = own_server(python=python_for_jobs, executor="process", controller=request.param)
    if request.param == "external":
        server.spawn_controller()
    await asyncio.to_thread(lambda: server.start().ready())
    return server


class Watch:
    """A reader in the process of the test, and what it saw of each job."""

    def __init__(self, database):
        self._reader = EventReader(database)

    async def until(self, job_id, *kinds, current=None):
        """Wait until these are the kinds of the job's events; a late reader sees no progress that
        was replaced, so that between others any number of it counts as one.
        """

        async def look():
            await self._reader.read()
            return self.kinds(job_id), self.last(job_id, "progress").get("current")

        seen = await until(look, lambda seen: seen == ([*kinds], current), f"{kinds}, {current}")
        assert self._reader.gaps == 0
        return seen

    def kinds(self, job_id):
        kinds = [event.kind.value for event in self._reader.seen if event.job_id == job_id]
        pairs = zip([None, *kinds], kinds, strict=False)
        return [kind for before, kind in pairs if (before, kind) != ("progress", "progress")]

    def last(self, job_id, kind):
        facts = [
            event.facts
            for event in self._reader.seen
            if event.job_id == job_id and event.kind.value == kind
        ]
        return facts[-1] if facts else {}


@pytest.fixture
async def watch(server):
    database = Database(server.database)
    await database.open()
    yield Watch(database)
    await database.close()


def lose(server, job_id):
    """Kill what looks after the job, so that nobody records its end."""
    supervisor = json.loads((server.data / "workloads" / job_id / "supervisor.json").read_text())
    os.kill(supervisor["pid"], signal.SIGKILL)


def release(server, job_id):
    Path(tempfile.gettempdir(), f"ci-runner-{server.instance_id()}", job_id, "go").touch()


async def test_a_job_is_lost_tried_again_and_finishes(server, watch):
    project = projects.table(TABLE, {"train.sh": TRAIN})
    job_id = server.submit(project, job="train")
    await watch.until(job_id, *LIFE, "progress", current=1)
    lose(server, job_id)
    again = [*LIFE, "progress", "retried", "started"]
    await watch.until(job_id, *again, "progress", current=1)
    assert watch.last(job_id, "progress")["attempt"] == 2
    release(server, job_id)
    await watch.until(job_id, *again, "progress", "finished", current=3)
    facts = watch.last(job_id, "finished")
    assert (facts["status"], facts["exit_code"], facts["attempt"]) == ("completed", 0, 2)
    assert facts["log_size"] == len(server.log(job_id))


async def test_a_cancelled_job(server, watch):
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    await watch.until(job_id, *LIFE)
    assert server.http.delete(f"/jobs/{job_id}").status_code < 300
    await watch.until(job_id, *LIFE, "cancel_requested", "finished")
    assert watch.last(job_id, "finished")["status"] == "cancelled"


async def test_progress_goes_on_after_a_restart(server, watch):
    job_id = server.submit(projects.table(TABLE, {"train.sh": TRAIN}), job="train")
    await watch.until(job_id, *LIFE, "progress", current=1)
    server.kill()
    await asyncio.to_thread(lambda: server.start().ready())
    release(server, job_id)
    await watch.until(job_id, *LIFE, "progress", "finished", current=3)


async def test_a_deleted_job(own_server, python_for_jobs):
    server = own_server(python=python_for_jobs, executor="process", retention_days=1e-5)
    await asyncio.to_thread(lambda: server.start().ready())
    database = Database(server.database)
    await database.open()
    reader = EventReader(database, scope=JobScope("local"))
    job_id = server.submit(projects.ANY, projects.shell("true"))

    async def last():
        await reader.read()
        return reader.seen[-1].kind.value if reader.seen else None

    await until(last, lambda kind: kind == "deleted", "the deletion")
    assert {event.job_id for event in reader.seen} == {job_id}
    assert server.http.get(f"/jobs/{job_id}").status_code == 404
    late = EventReader(database)
    assert await late.read() == [("deleted", job_id)]
    await database.close()
