"""What is deleted, when, and how much at a time."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ci_common.errors import LogCorruptError
from ci_common.ports.retention import FileDeletion, FinishedJob, FinishedTotals, KeptPackage
from ci_controller.housekeeping.retention import Retention, RetentionPolicy, WorkBudget, expired

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = 3600.0


def jobs(*ages_in_hours: float, size: int = 10) -> list[FinishedJob]:
    return [
        FinishedJob(f"job{number}", NOW - timedelta(hours=age), size)
        for number, age in enumerate(ages_in_hours)
    ]


def deleted(finished: Sequence[FinishedJob], **rules: Any) -> list[str]:
    totals = FinishedTotals(len(finished), sum(job.stored_bytes for job in finished))
    return expired(finished, totals, RetentionPolicy(**rules), NOW, NOW)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, []),
        ({"days": 1}, ["job0", "job1"]),
        ({"days": 5}, []),
        ({"days": 0.5 / 24}, ["job0", "job1", "job2"]),
        ({"jobs": 3}, ["job0"]),
        ({"jobs": 4}, []),
        ({"jobs": 0}, ["job0", "job1", "job2"]),
        ({"max_bytes": 40}, []),
        ({"max_bytes": 39}, ["job0"]),
        ({"max_bytes": 5}, ["job0", "job1", "job2"]),
        ({"days": 1, "jobs": 4, "max_bytes": 15}, ["job0", "job1", "job2"]),
        ({"artifact_days": 0.001, "compress_seconds": 0}, []),
    ],
)
def test_which_jobs_go(rules: dict[str, Any], expected: list[str]) -> None:
    assert deleted(jobs(100, 48, 1, 0), **rules) == expected


def test_a_job_that_ended_just_now_goes_by_age_only() -> None:
    (fresh,) = jobs(9 / HOUR)
    assert deleted([fresh], jobs=0, max_bytes=1) == []
    assert deleted([fresh], days=5 / 86400) == [fresh.job_id]
    assert deleted(jobs(10 / HOUR), jobs=0) == ["job0"]


def test_more_jobs_than_were_looked_at_count() -> None:
    oldest = jobs(9, 8)
    totals = FinishedTotals(1000, 10_000)
    assert expired(oldest, totals, RetentionPolicy(jobs=999), NOW, NOW) == ["job0"]
    assert expired(oldest, totals, RetentionPolicy(max_bytes=1), NOW, NOW) == ["job0", "job1"]


class World:
    """Rows, logs and artifacts in memory; every operation takes its time."""

    def __init__(self, count: int = 0, step_seconds: float = 0.001) -> None:
        self.time = 1000.0
        self.wall = NOW
        self.step_seconds = step_seconds
        self.finished = {
            f"job{number}": NOW - timedelta(hours=count - number) for number in range(count)
        }
        self.raw = dict.fromkeys(self.finished, 100)
        self.with_artifacts = list(self.finished)
        self.noted: dict[str, bool] = {}
        self.deletions: list[datetime] = []
        self.calls: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.free = 1 << 40
        self.leading = True

    def _take(self, name: str) -> None:
        self.calls.append(name)
        self.time += self.step_seconds

    async def totals(self) -> FinishedTotals:
        self._take("totals")
        return FinishedTotals(len(self.finished), 10 * len(self.finished))

    async def oldest(self, limit: int) -> list[FinishedJob]:
        self._take("oldest")
        return [FinishedJob(key, at, 10) for key, at in list(self.finished.items())[:limit]]

    async def delete_jobs(self, job_ids: Sequence[str]) -> int:
        self._take("delete_jobs")
        if not self.leading:
            return 0
        for job_id in job_ids:
            del self.finished[job_id]
            self.raw.pop(job_id, None)
            self.noted[job_id] = False
        return len(job_ids)

    async def expire_artifacts(self, ended_before: datetime, limit: int) -> int:
        self._take("expire_artifacts")
        found = [key for key in self.with_artifacts if self.finished[key] <= ended_before][:limit]
        self.with_artifacts = [key for key in self.with_artifacts if key not in found]
        self.noted.update(dict.fromkeys(found, True))
        return len(found)

    async def file_deletions(self, limit: int) -> list[FileDeletion]:
        self._take("file_deletions")
        return [FileDeletion(*one) for one in self.noted.items()][:limit]

    async def files_deleted(self, deletions: Sequence[FileDeletion]) -> None:
        self._take("files_deleted")
        for one in deletions:
            del self.noted[one.job_id]

    async def package_deletions(self, limit: int) -> list[str]:
        return []

    async def oldest_packages(self, limit: int) -> list[KeptPackage]:
        return []

    async def uncompressed(self, ended_before: datetime) -> tuple[str, int] | None:
        self._take("uncompressed")
        found = [key for key in self.raw if self.finished[key] <= ended_before]
        return (found[0], self.raw[found[0]]) if found else None

    async def log_compressed(self, job_id: str, stored_bytes: int) -> bool:
        self._take(f"log_compressed {job_id} {stored_bytes}")
        del self.raw[job_id]
        return True

    async def forget_deletions(self, before: datetime, keep: int, limit: int) -> int:
        self._take("forget_deletions")
        found = [at for at in self.deletions if at < before][:limit]
        surplus = self.deletions[: max(len(self.deletions) - keep, 0)][:limit]
        gone = max(found, surplus, key=len)
        self.deletions = self.deletions[len(gone) :]
        return len(gone)

    def compress(self, job_id: str, size: int) -> int:
        self._take(f"compress {job_id}")
        self._fail(f"compress {job_id}")
        return size // 10

    def delete(self, job_id: str) -> None:
        self._take(f"delete {job_id}")
        self._fail(f"delete {job_id}")

    def begin(self, job_id: str) -> Any:
        raise NotImplementedError

    def _fail(self, name: str) -> None:
        if name in self.failing:
            raise self.failing[name]

    def retention(self, **rules: Any) -> Retention:
        artifacts: Any = self
        return Retention(
            self,
            self,
            artifacts,
            artifacts,
            RetentionPolicy(**rules),
            lambda: self.free,
            lambda: self.wall,
            lambda: self.time,
        )


def run(retention: Retention, budget: WorkBudget | None = None) -> int:
    return asyncio.run(retention.run_once(budget or WorkBudget()))


def test_a_clock_that_is_set_ahead_deletes_nothing_for_an_hour() -> None:
    world = World(3, step_seconds=0.0)
    retention = world.retention(days=1, compress_seconds=HOUR * 9999)
    run(retention)
    world.wall += timedelta(days=400)
    for _ in range(11):
        world.time += 300.0
        world.wall += timedelta(seconds=300)
        assert run(retention) == 0
    assert len(world.finished) == 3
    world.time += 600.0
    world.wall += timedelta(seconds=600)
    run(retention)
    assert world.finished == {}, "the clock has stood by it, so it is right now"


def test_a_clock_that_is_set_ahead_and_back_deletes_nothing() -> None:
    world = World(3, step_seconds=0.0)
    retention = world.retention(days=1, compress_seconds=HOUR * 9999)
    for days in (400, -400, 400, -400):
        run(retention)
        world.time += 2400.0
        world.wall += timedelta(days=days)
    run(retention)
    assert len(world.finished) == 3


def test_a_clock_that_is_set_back_does_not_stop_what_count_and_budget_ask() -> None:
    (one,) = jobs(-48)
    assert deleted([one], days=1) == []
    assert deleted([one], jobs=0) == [one.job_id]


def test_a_helping_is_bounded_by_jobs_and_by_time() -> None:
    world = World(1000)
    retention = world.retention(jobs=0, compress_seconds=HOUR * 9999)
    assert run(retention, WorkBudget(jobs=50, seconds=99)) == 50
    assert len(world.finished) in range(960, 1000)
    began = world.time
    run(retention, WorkBudget(jobs=10_000, seconds=0.2))
    assert 0.2 <= world.time - began < 0.3
    while run(retention):
        pass
    assert (world.finished, world.noted) == ({}, {})


def test_when_all_is_done_it_rests() -> None:
    world = World(3)
    retention = world.retention(days=99, artifact_days=99, compress_seconds=0)
    assert run(retention) == 3
    before = len(world.calls)
    for _ in range(10):
        assert run(retention) == 0
    assert len(world.calls) == before
    world.time += 5
    assert run(retention) == 0
    assert world.calls[before:] == [
        "file_deletions", "oldest", "totals", "expire_artifacts", "uncompressed",
        "forget_deletions",
    ]  # fmt: skip


def test_without_rules_nothing_is_deleted_however_full_the_disk() -> None:
    world = World(3)
    world.free = 0
    retention = world.retention(min_free_bytes=1, compress_seconds=HOUR * 9999)
    assert run(retention) == 3, "but compressed at once"
    assert len(world.finished) == 3
    assert not {"delete_jobs", "oldest", "expire_artifacts"} & set(world.calls)
    assert "log_compressed job0 10" in world.calls


def test_logs_are_compressed_a_while_after_the_end() -> None:
    world = World(3)
    run(world.retention(compress_seconds=2 * HOUR))
    assert list(world.raw) == ["job2"]


def test_artifacts_go_before_their_jobs() -> None:
    world = World(3)
    run(world.retention(artifact_days=2 / 24, compress_seconds=HOUR * 9999))
    assert world.with_artifacts == ["job2"]
    assert len(world.finished) == 3
    assert [call for call in world.calls if call.startswith("delete ")] == [
        "delete job0", "delete job1",
    ]  # fmt: skip


def test_that_jobs_were_deleted_is_forgotten_after_a_week_and_a_clock_set_ahead_does_not() -> None:
    world = World(step_seconds=0.0)
    retention = world.retention()
    world.deletions = [NOW - timedelta(days=days) for days in (9, 8, 6, 0)]
    run(retention)
    assert world.deletions == [NOW - timedelta(days=days) for days in (6, 0)]
    world.wall += timedelta(days=30)
    world.time += 60.0
    run(retention)
    assert len(world.deletions) == 2


def test_files_that_cannot_be_deleted_hold_nothing_up() -> None:
    world = World(3)
    world.failing["delete job0"] = PermissionError(13, "not permitted")
    retention = world.retention(jobs=0, compress_seconds=HOUR * 9999)
    run(retention)
    assert world.finished == {}
    assert list(world.noted) == ["job0"]
    assert world.calls.count("delete job0") == 1
    world.failing.clear()
    world.time += 5
    run(retention)
    assert world.noted == {}


def test_a_log_that_cannot_be_compressed_is_left_and_the_next_one_taken() -> None:
    world = World(2)
    world.failing["compress job0"] = LogCorruptError("damaged")
    run(world.retention(compress_seconds=0))
    assert "log_compressed job0 100" in world.calls
    assert "log_compressed job1 10" in world.calls


def test_after_the_disk_refused_compression_waits() -> None:
    world = World(2)
    world.failing["compress job0"] = OSError(28, "no space")
    retention = world.retention(compress_seconds=0)
    run(retention)
    world.failing.clear()
    world.time += 30
    run(retention)
    assert len(world.raw) == 2
    world.time += 31
    run(retention)
    assert world.raw == {}


def test_without_the_lease_it_stops() -> None:
    world = World(3)
    world.leading = False
    assert run(world.retention(jobs=0, compress_seconds=HOUR * 9999)) == 0
    assert not [call for call in world.calls if call.startswith("delete ")]
