"""Processes that move jobs as fast as they can, and are killed; and those that read meanwhile.

`python -m support.event_writers write DATABASE [deletes]`, or `read DATABASE CURSOR`.
"""

import asyncio
import json
import random
import sys
import uuid
from pathlib import Path

from ci_common.job import utc_now
from ci_common.job_events import EventCursor
from ci_common.ports.rows import Ending, ProgressReport
from ci_common.progress import Progress
from ci_persistence.database.database import Database
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from support.event_readers import EventReader
from support.jobs import NOON, a_job
from support.rows import CANCELLED, PASSED

HOLDER = "the writers"
"""All of them move jobs: what is under test is the rows, not the lease."""


class Writer:
    """Lives of jobs, and deletions of some, without end."""

    def __init__(self, database, deletes):
        signals = ProcessJobSignals()
        self.submissions = SqliteJobSubmissions(database, signals)
        self.transitions = SqliteJobTransitions(database, signals, HOLDER)
        self.retention = SqliteJobRetention(database, HOLDER)
        self.deletes = deletes
        self.rng = random.Random(uuid.uuid4().int)

    async def run(self):
        while True:
            await self.life()

    async def life(self):
        job = a_job()
        await self.submissions.add(job)
        job_id = job.job_id
        if self.rng.random() < 0.2:
            await self.submissions.request_cancel(job_id, NOON)
            await self.transitions.finish(job_id, Ending(CANCELLED, 0), NOON)
        else:
            await self.transitions.claim(job_id)
            await self.transitions.mark_running(job_id, NOON)
            for current in range(self.rng.randrange(3)):
                report = ProgressReport(job_id, 1, Progress(current, 3, "work"))
                await self.transitions.report_progress([report], utc_now())
            await self.transitions.finish(job_id, Ending(PASSED, 3), NOON)
        if self.deletes and self.rng.random() < 0.3:
            await self.retention.delete_jobs([job_id])


async def write(database, deletes):
    await Writer(database, deletes).run()


async def read(database, cursor):
    """Prints every event, and then the cursor with which it is dealt with, line by line."""
    reader = EventReader(database, cursor)
    while True:
        await reader.read()
        told = [[event.seq, event.kind.value, event.job_id] for event in reader.seen]
        reader.seen.clear()
        if told or reader.gaps:
            print(json.dumps([told, str(reader.cursor), reader.gaps]), flush=True)
        reader.gaps = 0
        await asyncio.sleep(0.002)


async def main(what, path, *arguments):
    database = Database(Path(path))
    await database.open()
    if what == "write":
        await write(database, deletes=arguments == ("deletes",))
    else:
        await read(database, EventCursor.parse(arguments[0]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
