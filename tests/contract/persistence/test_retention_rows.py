"""Retention on a real database and real files."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ci_common.job import (
    Artifact,
    Door,
    Job,
    JobSpec,
    JobStatus,
    Outcome,
    Package,
    Reason,
    format_time,
)
from ci_common.policy import JobScope
from ci_common.ports.retention import FileDeletion, FinishedTotals
from ci_common.ports.rows import Ending, JobQuery
from ci_controller.housekeeping.retention import Retention, RetentionPolicy, WorkBudget
from ci_persistence.database.database import Database
from ci_persistence.database.migrations import MIGRATIONS
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.retention import (
    OLDEST,
    OLDEST_OF_DOOR,
    UNCOMPRESSED,
    WITH_ARTIFACTS,
    SqliteJobRetention,
)
from ci_persistence.sqlite.submissions import RECENT, SqliteJobSubmissions
from ci_persistence.sqlite.transitions import SqliteJobTransitions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOLDER = "me"


def job_id(number: int) -> str:
    return f"{number:08x}-1d98-473b-97cd-ca98a65347dd"


class FakeArtifacts:
    """Directories of no content (the store has its own tests)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)

    def begin(self, job_id: str) -> Any:
        raise NotImplementedError

    def delete(self, job_id: str) -> None:
        (self.path / job_id).unlink(missing_ok=True)

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)


@dataclass
class World:
    database: Database
    rows: SqliteJobRetention
    jobs: SqliteJobSubmissions
    transitions: SqliteJobTransitions
    lease: SqliteControllerLease
    logs: FileLogStore
    artifacts: FakeArtifacts
    packages: FilePackageStore

    async def finished(
        self, number: int, log: bytes, artifacts: dict[str, int], door: Door = Door.NATIVE
    ) -> str:
        """A job that ended `number` hours after New Year 2025, with files."""
        identity, at = job_id(number), NOW - timedelta(days=365) + timedelta(hours=number)
        await self.jobs.add(
            Job(
                identity,
                "t",
                "u",
                JobSpec(("true",)),
                Package("", 1),
                JobStatus.QUEUED,
                at,
                door=door,
            )
        )
        appender = self.logs.open(identity, 1)
        appender.append(log)
        appender.close()
        (self.artifacts.path / identity).touch()
        ending = Ending(
            Outcome(JobStatus.FAILED, Reason.LOST, "for a test"),
            len(log),
            artifacts=tuple(Artifact(path, size, "") for path, size in artifacts.items()),
        )
        assert await self.transitions.finish(identity, ending, at)
        return identity

    def retention(self, **rules: Any) -> Retention:
        artifacts: Any = self.artifacts
        return Retention(
            self.rows,
            self.logs,
            artifacts,
            self.packages,
            RetentionPolicy(**rules),
            lambda: 1 << 40,
            lambda: NOW,
        )

    async def counted(self) -> FinishedTotals:
        """The totals the slow way."""
        row = await self.database.fetch_one(
            "SELECT count(*), coalesce(sum(coalesce(log_stored, log_size, 0) + artifacts_size), 0) "
            "FROM jobs WHERE ended_at IS NOT NULL"
        )
        assert row is not None
        return FinishedTotals(*row)

    def files(self) -> list[str]:
        return sorted(
            {*self.logs.job_ids(), *(path.name for path in self.artifacts.path.iterdir())}
        )


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[World]:
    database, signals = Database(path / "jobs.db"), ProcessJobSignals()
    await database.open()
    try:
        lease = SqliteControllerLease(database)
        assert await lease.acquire(HOLDER, datetime.now(UTC), 60)
        yield World(
            database,
            SqliteJobRetention(database, HOLDER),
            SqliteJobSubmissions(database, signals),
            SqliteJobTransitions(database, signals, HOLDER),
            lease,
            FileLogStore(path, signals),
            FakeArtifacts(path / "artifacts"),
            FilePackageStore(path, 0),
        )
    finally:
        await database.close()


def in_world(path: Path, play: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(path) as world:
            await play(world)

    asyncio.run(run())


def test_totals_follow_every_change(tmp_path: Path) -> None:
    async def play(world: World) -> None:
        assert await world.rows.totals() == FinishedTotals(0, 0)
        first = await world.finished(1, b"x" * 1000, {"a": 10, "b": 20})
        second = await world.finished(2, b"", {"c": 5})
        assert await world.rows.totals() == FinishedTotals(2, 1035) == await world.counted()
        assert await world.rows.log_compressed(first, 100)
        assert await world.rows.totals() == FinishedTotals(2, 135) == await world.counted()
        assert await world.rows.expire_artifacts(NOW, 1) == 1
        assert await world.rows.totals() == FinishedTotals(2, 105) == await world.counted()
        assert await world.rows.delete_jobs([first]) == 1
        assert await world.rows.totals() == FinishedTotals(1, 5) == await world.counted()
        assert await world.rows.delete_jobs([first, second, job_id(9)]) == 1
        assert await world.rows.totals() == FinishedTotals(0, 0) == await world.counted()

    in_world(tmp_path, play)


def test_whose_artifacts_are_orphans(tmp_path: Path) -> None:
    async def play(world: World) -> None:
        with_some = await world.finished(1, b"", {"a": 0})
        without = await world.finished(2, b"", {})
        live = job_id(3)
        await world.jobs.add(
            Job(live, "t", "u", JobSpec(("true",)), Package("", 1), JobStatus.QUEUED, NOW)
        )
        asked = [with_some, without, live, job_id(4)]
        assert sorted(await world.rows.without_artifacts(asked)) == [without, job_id(4)]
        assert await world.rows.without_artifacts([]) == []

    in_world(tmp_path, play)


def test_only_finished_jobs_are_seen_and_deleted(tmp_path: Path) -> None:
    async def play(world: World) -> None:
        queued = Job(job_id(1), "t", "u", JobSpec(("true",)), Package("", 1), JobStatus.QUEUED, NOW)
        await world.jobs.add(queued)
        assert await world.rows.delete_jobs([queued.job_id]) == 0
        assert await world.rows.oldest(9) == []
        assert await world.rows.uncompressed(NOW) is None
        assert await world.rows.log_compressed(queued.job_id, 1) is False
        assert await world.jobs.get(queued.job_id) == queued
        assert await world.rows.file_deletions(9) == []

    in_world(tmp_path, play)


def test_the_oldest_come_first(tmp_path: Path) -> None:
    async def play(world: World) -> None:
        for number in (3, 1, 2):
            await world.finished(number, b"log", {"a": number})
        oldest = await world.rows.oldest(2)
        assert [(job.job_id, job.stored_bytes) for job in oldest] == [
            (job_id(1), 4),
            (job_id(2), 5),
        ]
        assert oldest[0].ended_at == NOW - timedelta(days=365) + timedelta(hours=1)
        assert await world.rows.uncompressed(NOW) == (job_id(1), 3)
        await world.rows.log_compressed(job_id(1), 2)
        assert await world.rows.uncompressed(NOW) == (job_id(2), 3)
        assert await world.rows.uncompressed(NOW - timedelta(days=366)) is None

    in_world(tmp_path, play)


def test_without_the_lease_nothing_changes(tmp_path: Path) -> None:
    async def play(world: World) -> None:
        identity = await world.finished(1, b"log", {"a": 1})
        await world.rows.delete_jobs([await world.finished(2, b"log", {})])
        noted = await world.rows.file_deletions(9)
        await world.lease.release(HOLDER)
        assert await world.lease.acquire("another", datetime.now(UTC), 60) == 2
        assert await world.rows.delete_jobs([identity]) == 0
        assert await world.rows.expire_artifacts(NOW, 9) == 0
        assert await world.rows.log_compressed(identity, 1) is False
        await world.rows.files_deleted(noted)
        assert await world.rows.file_deletions(9) == noted
        assert await world.retention(days=1).run_once() < 999
        assert await world.jobs.artifacts(identity) == [Artifact("a", 1, "")]
        assert identity in world.files()

    in_world(tmp_path, play)


def test_a_deleted_job_is_gone_with_its_files(tmp_path: Path) -> None:
    async def play(world: World) -> None:
        old = await world.finished(1, b"old", {"a": 1})
        new = await world.finished(2, b"new", {"a": 1})
        await world.retention(jobs=1).run_once()
        assert await world.jobs.get(old) is None
        assert await world.jobs.artifacts(old) == []
        assert world.logs.size(old) == 0
        assert world.files() == [new]
        assert [job.job_id for job in await world.jobs.list_jobs(JobScope("t"), JobQuery())] == [
            new
        ]
        assert world.logs.read(new, 0, 9) == b"new"
        assert await world.rows.file_deletions(9) == []

    in_world(tmp_path, play)


def test_a_door_may_have_a_retention_of_its_own(tmp_path: Path) -> None:
    async def play(world: World) -> None:
        native = await world.finished(1, b"log", {})
        old = await world.finished(2, b"log", {"a": 1}, Door.MODELS)
        new = await world.finished(4, b"log", {"a": 1}, Door.MODELS)
        age = timedelta(days=365) - timedelta(hours=3)
        await world.retention(door_seconds={Door.MODELS: age.total_seconds()}).run_once()
        assert await world.jobs.get(old) is None
        assert world.files() == [native, new]

    in_world(tmp_path, play)


def test_artifacts_go_earlier_than_their_job(tmp_path: Path) -> None:
    async def play(world: World) -> None:
        identity = await world.finished(1, b"log", {"a": 1})
        await world.retention(artifact_days=30).run_once()
        job = await world.jobs.get(identity)
        assert job is not None
        assert job.artifacts_size == 0
        assert await world.jobs.artifacts(identity) == []
        assert list(world.artifacts.path.iterdir()) == []
        assert world.logs.read(identity, 0, 9) == b"log"

    in_world(tmp_path, play)


def test_a_job_that_is_deleted_while_its_artifacts_are_loses_its_log_too(tmp_path: Path) -> None:
    async def play(world: World) -> None:
        identity = await world.finished(1, b"log", {"a": 1})
        await world.rows.expire_artifacts(NOW, 9)
        (noted,) = await world.rows.file_deletions(9)
        assert noted == FileDeletion(identity, artifacts_only=True)
        await world.rows.delete_jobs([identity])
        await world.rows.files_deleted([noted])
        assert await world.rows.file_deletions(9) == [FileDeletion(identity, artifacts_only=False)]

    in_world(tmp_path, play)


class Killed(BaseException):
    """Nothing runs after this, as after SIGKILL."""


def test_a_kill_before_any_step_is_healed(tmp_path: Path) -> None:
    async def play(world: World, step: int) -> bool:
        for number in range(6):
            await world.finished(number, b"line\n" * 50, {"a": 7})
        taken = 0

        def guarded(owner: object, name: str) -> None:
            real = getattr(owner, name)

            def call(*arguments: Any) -> Any:
                nonlocal taken
                taken += 1
                if taken > step:
                    raise Killed
                return real(*arguments)

            setattr(owner, name, call)

        for name in ("delete_jobs", "files_deleted", "expire_artifacts", "log_compressed"):
            guarded(world.rows, name)
        for name in ("compress", "delete"):
            guarded(world.logs, name)
        guarded(world.artifacts, "delete")
        rules: dict[str, Any] = {"jobs": 3, "artifact_days": 30}
        died = False
        try:
            await world.retention(**rules).run_once(WorkBudget(seconds=60))
        except Killed:
            died = True
        return died

    async def heal(world: World) -> None:
        rules: dict[str, Any] = {"jobs": 3, "artifact_days": 30}
        await world.retention(**rules).run_once(WorkBudget(seconds=60))
        kept = [job_id(number) for number in (3, 4, 5)]
        assert world.files() == kept
        assert list(world.artifacts.path.iterdir()) == []
        assert await world.rows.file_deletions(9) == []
        assert await world.rows.uncompressed(NOW) is None
        assert await world.rows.totals() == await world.counted()
        for identity in kept:
            assert world.logs.read(identity, 0, 999) == b"line\n" * 50

    async def run(path: Path, step: int) -> bool:
        async with opened(path) as world:
            died = await play(world, step)
        async with opened(path) as world:
            await heal(world)
        return died

    step = 0
    while True:
        path = tmp_path / str(step)
        path.mkdir()
        if not asyncio.run(run(path, step)):
            break
        step += 1
    assert step > 12


@pytest.mark.parametrize(
    ("sql", "parameters", "index"),
    [
        (OLDEST, (20,), "jobs_ended"),
        (OLDEST_OF_DOOR, ("models", "2026", 20), "jobs_of_door"),
        (RECENT, ("t", "models", "title"), "jobs_of_door_of_tenant"),
        (UNCOMPRESSED, ("2026",), "jobs_uncompressed"),
        (WITH_ARTIFACTS, ("2026", 20), "jobs_with_artifacts"),
        ("SELECT * FROM jobs WHERE status IN ('queued', 'initializing', 'running') ORDER BY seq",
         (), "jobs_active"),
    ],
)  # fmt: skip
def test_queries_do_not_read_the_history(
    tmp_path: Path, sql: str, parameters: tuple[Any, ...], index: str
) -> None:
    async def play(world: World) -> None:
        await world.finished(1, b"log", {"a": 1})
        plan = await world.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
        details = [row["detail"] for row in plan]
        assert any(index in detail for detail in details), details
        assert not any("TEMP B-TREE" in detail for detail in details), details
        for detail in details:
            assert not detail.startswith("SCAN jobs") or f"USING INDEX {index}" in detail, details

    in_world(tmp_path, play)


def test_deleting_uses_keys_only(tmp_path: Path) -> None:
    in_world(tmp_path, _no_scans)


async def _no_scans(world: World) -> None:
    await world.finished(1, b"log", {"a": 1})
    seen: list[str] = []
    connection = world.database._writer
    assert connection is not None
    await connection.set_trace_callback(seen.append)
    await world.rows.expire_artifacts(NOW, 9)
    await world.rows.delete_jobs([job_id(1)])
    await connection.set_trace_callback(None)  # type: ignore[arg-type]
    statements = [one for one in seen if one.startswith(("DELETE", "UPDATE", "INSERT"))]
    assert len(statements) >= 4, seen
    for sql in statements:
        for row in await connection.execute_fetchall(f"EXPLAIN QUERY PLAN {sql}"):
            detail = str(row["detail"])
            assert (
                not detail.startswith("SCAN")
                or "USING" in detail
                or (detail == "SCAN controller_lease")
            ), (sql, detail)


def test_a_database_of_the_former_schema_counts_what_it_has(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.db")) as database, database:
        for step in MIGRATIONS[:2]:
            database.executescript(step)
        database.execute(
            "INSERT INTO jobs (job_id, tenant, user, spec, package_sha256, package_size, status, "
            "created_at, ended_at, log_size, artifacts_size) VALUES (?, 't', 'u', '{}', '', 1, "
            "'failed', ?, ?, 90, 10)",
            (job_id(1), format_time(NOW), format_time(NOW - timedelta(days=1))),
        )
        database.execute("PRAGMA user_version=2")

    async def check(world: World) -> None:
        assert await world.rows.totals() == FinishedTotals(1, 100)
        assert await world.rows.uncompressed(NOW) == (job_id(1), 90)

    in_world(tmp_path, check)


def test_times_sort_as_texts() -> None:
    moments = [NOW + timedelta(milliseconds=step) for step in (-1, 0, 1, 1000)]
    texts = [format_time(moment) or "" for moment in moments]
    assert texts == sorted(texts)
