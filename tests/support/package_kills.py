"""A process that reruns a job, ends jobs and drops packages, and dies by SIGKILL at one point.

`python -m support.package_kills POINT DIRECTORY JOB`
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from ci_common.job import Job
from ci_controller.housekeeping.kept_packages import KeptPackages
from ci_controller.running.job_end import finish_queued
from ci_controller.telemetry.job_traces import NO_TRACES
from ci_persistence.sqlite.retention import SqliteJobRetention
from support.intake_place import ANN, Place
from support.jobs import NOON
from support.rows import CANCELLED

POINTS = (
    *("before the link", "after the link", "after the row"),
    *("before the end", "after the end, not kept", "after the end, kept"),
    *("after the drop", "after the file", "after all"),
)


class World(Place):
    """Every step is called in its order, and the process dies at its point."""

    def __init__(self, point):
        self.point = point

    def at(self, point):
        if point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    def dies(self, thing, name, point, *, before=False):
        """Let a method of a store die before or after its work."""
        work = getattr(thing, name)

        def step(*arguments, **options):
            if before:
                self.at(point)
            result = work(*arguments, **options)
            if not asyncio.iscoroutine(result):
                self.at(point)
                return result

            async def wait():
                done = await result
                self.at(point)
                return done

            return wait()

        setattr(thing, name, step)

    async def rerun(self, source: Job):
        self.dies(self.packages, "share", "before the link", before=True)
        self.dies(self.packages, "share", "after the link")
        self.dies(self.rows.submissions, "add", "after the row")
        return await self.intake.repeat(ANN, source)

    async def end(self, job, *, keep):
        """The controller's way."""
        self.at("before the end")
        transitions = self.rows.transitions
        point = "after the end, kept" if keep else "after the end, not kept"
        self.dies(transitions, "finish", point)
        await finish_queued(job.job_id, CANCELLED, self.context(keep))

    async def drop(self):
        retention = SqliteJobRetention(self.rows.database, "me")
        self.dies(retention, "drop_packages", "after the drop")
        self.dies(self.packages, "delete", "after the file")
        kept = KeptPackages(retention, self.packages, days=0, most_bytes=0)
        await kept.expire(20, NOON, need_room=False)
        await kept.delete_files(20)
        self.at("after all")

    def context(self, keep):
        class Executor:
            async def remove(self, _job_id):
                pass

        class Resources:
            def taken(self, _job_id):
                return None

        class Context:
            resources = Resources()
            traces = NO_TRACES
            transitions = self.rows.transitions
            packages = self.packages
            secrets = self.secrets
            executor = Executor()
            keeps_packages = keep

            def now(self):
                return NOON

        return Context()


async def main(point, directory, job_id):
    world = await World(point).open(Path(directory))
    source = await world.job(job_id)
    again = await world.rerun(source)
    await world.end(again, keep=False)
    await world.end(source, keep=True)
    assert (await world.job(job_id)).package_kept
    await world.drop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
