"""Random histories with deletions: a reader gets every event of its scope, or an error that says
that some are gone; and that error only then.
"""

import random
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from ci_common.job import utc_now
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending, ProgressReport
from ci_common.progress import Progress
from ci_persistence.sqlite.retention import SqliteJobRetention
from support.event_readers import EventReader
from support.jobs import NOON
from support.rows import CANCELLED, Rows

pytestmark = pytest.mark.anyio

STEPS = 150
SCOPES = [JobScope(), JobScope("a"), JobScope("b"), JobScope("a", "x"), JobScope("a", "y")]


@dataclass
class Follower:
    """A reader, and what a perfect one would have."""

    reader: EventReader
    scope: JobScope
    expected: list = field(default_factory=list)
    """Numbers of the events in scope that were not removed before it could read them."""
    owed: bool = False
    """Whether events after its cursor were removed since it last asked."""
    may_be_told: bool = False
    """Whether `deleted` events of others were removed, which it cannot tell from its own."""

    async def step(self):
        gaps = self.reader.gaps
        self.reader.seen += await self.reader._batch()
        told = self.reader.gaps > gaps
        assert told or not self.owed, "a loss was not reported"
        assert self.owed or self.may_be_told or not told, "an error without a loss"
        self.owed = self.may_be_told = False


class History:
    """Random changes, and what they mean for each reader."""

    def __init__(self, rows, seed):
        self.rng = random.Random(seed)
        self.rows = rows
        self.retention = SqliteJobRetention(rows.database, "me")
        self.live, self.ended = {}, {}
        """Job id to (tenant, user)."""
        self.followers = []

    async def begin(self):
        for scope in SCOPES:
            limit = self.rng.choice([1, 2, 5, 100])
            reader = EventReader(self.rows.database, scope=scope, limit=limit)
            self.followers.append(Follower(await reader.begin(), scope))

    async def step(self):
        changes = [self.add, self.start, self.progress, self.end, self.delete, self.forget]
        change = self.rng.choices([*changes, self.read], [5, 3, 3, 4, 2, 1, 8])[0]
        removed = await self.stored()
        await change()
        kept = await self.stored()
        for seq in removed.keys() - kept.keys():
            self.note_removal(seq, removed[seq])
        for seq in sorted(kept.keys() - removed.keys()):
            for follower in self.followers:
                if in_scope(follower.scope, kept[seq]):
                    follower.expected.append(seq)

    def note_removal(self, seq, event):
        for follower in self.followers:
            if seq <= follower.reader.cursor.seq or event["kind"] == "progress":
                continue
            if not in_scope(follower.scope, event):
                follower.may_be_told |= event["kind"] == "deleted"
                continue
            follower.expected.remove(seq)
            follower.owed = True

    async def stored(self):
        rows = await self.rows.database.fetch_all("SELECT * FROM job_events")
        return {row["seq"]: row for row in rows}

    async def add(self):
        tenant, user = self.rng.choice(["ax", "ay", "bx"])
        self.live[await self.rows.add(tenant=tenant, user=user)] = (tenant, user)

    async def start(self):
        for job in self._some(self.live):
            await self.rows.transitions.claim(job)
            await self.rows.transitions.mark_running(job, NOON)

    async def progress(self):
        for job in self._some(self.live):
            report = ProgressReport(job, 1, Progress(self.rng.randrange(9), 9, "x"))
            await self.rows.transitions.report_progress([report], NOON)

    async def end(self):
        for job in self._some(self.live):
            assert await self.rows.transitions.finish(job, Ending(CANCELLED, 0), NOON)
            self.ended[job] = self.live.pop(job)

    async def delete(self):
        for job in self._some(self.ended):
            await self.retention.delete_jobs([job])
            del self.ended[job]

    async def forget(self):
        if self.rng.random() < 0.3:
            keep = self.rng.randrange(4)
            await self.retention.forget_deletions(utc_now() - timedelta(days=1), keep, 2)

    async def read(self):
        await self.rng.choice(self.followers).step()

    def _some(self, jobs):
        return [self.rng.choice(sorted(jobs))] if jobs else []


def in_scope(scope, event):
    return scope.tenant in (None, event["tenant"]) and scope.user in (None, event["user"])


def kept(follower, progress):
    """What it should have seen, without progress, of which it may miss some."""
    return [seq for seq in follower.expected if seq not in progress]


@pytest.mark.parametrize("seed", range(10))
async def test_every_loss_is_reported_and_nothing_else(tmp_path, seed):
    rows = await Rows().open(tmp_path / "ci.db")
    await rows.database.write("PRAGMA synchronous=OFF")
    history = History(rows, seed)
    await history.begin()
    progress = set()
    for _ in range(STEPS):
        await history.step()
        found = await history.stored()
        progress |= {seq for seq, event in found.items() if event["kind"] == "progress"}
    for follower in history.followers:
        while follower.reader.cursor.seq < (await follower.reader.events.latest()).seq:
            await follower.step()
        seen = [event.seq for event in follower.reader.seen if event.seq not in progress]
        assert seen == kept(follower, progress)
    assert sum(follower.reader.gaps for follower in history.followers) > 0
    await rows.database.close()
