"""What is collected of the files a workload left, with a scripted executor and a real store."""

import asyncio
import errno
import threading
from datetime import UTC, datetime, timedelta

import pytest

from ci_common.errors import EngineUnavailableError, FilesUnreadableError, LeaseLostError
from ci_common.job import JobStatus, Outcome, Reason, utc_now
from ci_common.ports.workloads import WorkloadFile
from ci_controller.running.artifacts import ArtifactCollector, ArtifactLimits
from ci_persistence.files.artifacts import FileArtifactStore
from support.scripted_files import EXITED, JOB, REPORT, STARTED, Executor, Files, job


@pytest.fixture
def store(tmp_path):
    return FileArtifactStore(tmp_path)


@pytest.fixture
def collect(store):
    def collect(answers, *globs, max_bytes=1 << 20, max_files=100):
        executor = Executor(answers)
        collector = ArtifactCollector(executor, store, ArtifactLimits(max_bytes, max_files))
        try:
            return asyncio.run(collector.collect(job(*globs), EXITED))
        finally:
            assert all(files.closed.is_set() for files in executor.given)

    return collect


def paths(collected):
    return [artifact.path for artifact in collected.artifacts]


def leftovers(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_matches_is_stored(collect, store):
    found = collect({"output": {"output/b": b"bb", "output/a": b"12345", "output": b""}})
    assert paths(found) == ["output", "output/a", "output/b"]
    assert found.tests is None
    assert found.left_out == ""
    with store.open(JOB, found.artifacts[1]) as file:
        assert file.read() == b"12345"


@pytest.mark.parametrize(
    ("written", "recorded"),
    [
        (
            datetime(2020, 1, 1, 1, 1, 1, 999_999, tzinfo=UTC),
            datetime(2020, 1, 1, 1, 1, 1, tzinfo=UTC),
        ),
        (datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        (datetime(9999, 12, 31, tzinfo=UTC), None),
    ],
)
def test_when_it_was_written_is_recorded_and_never_later_than_now(collect, written, recorded):
    before = utc_now().replace(microsecond=0)
    file = WorkloadFile("output/a", 1, written, iter([b"1"]))
    (artifact,) = collect({"output": {"output/a": file}}).artifacts
    if recorded is None:
        assert before <= artifact.modified_at <= utc_now()
        assert artifact.modified_at.microsecond == 0
    else:
        assert artifact.modified_at == recorded


def test_nothing_there(collect, tmp_path):
    found = collect({})
    assert (found.artifacts, found.tests, found.left_out) == ((), None, "")
    assert leftovers(tmp_path) == []


class EndlessFiles(Files):
    """One file, and then one that takes until somebody has had enough."""

    def __iter__(self):
        yield from super().__iter__()
        assert self.closed.wait(30)
        raise EngineUnavailableError("closed")


def test_what_takes_too_long_is_left_out(store):
    executor = Executor({"output": EndlessFiles({"output/a": b"12345"})})
    limits = ArtifactLimits(1 << 20, 100, max_seconds=0.1)
    found = asyncio.run(ArtifactCollector(executor, store, limits).collect(job(), EXITED))
    assert paths(found) == ["output/a"]
    assert found.left_out == "artifacts left out: files that were not reached within 0.1 s"


def test_reports_without_end_are_not_read(collect, monkeypatch):
    monkeypatch.setattr("ci_controller.running.collection.MAX_REPORTS_BYTES", 2 * len(REPORT))
    found = collect({"output": {f"output/{number}.xml": REPORT for number in range(5)}})
    assert len(found.artifacts) == 5
    assert found.tests.total == 2
    assert found.left_out == "3 test reports beyond 0 MiB were not read"


def test_only_what_can_match_is_fetched(collect):
    found = collect(
        {
            "output/junit.xml": {"output/junit.xml": REPORT},
            "dist": {"dist/a.whl": b"w", "dist/a.txt": b"t"},
        },
        "dist/*.whl",
        "/not/in/the/project",
    )
    assert paths(found) == ["dist/a.whl", "output/junit.xml"]
    assert found.tests.total == 1


def test_reports_are_added_up_and_broken_ones_are_told(collect):
    found = collect(
        {
            "output": {
                "output/junit.xml": REPORT,
                "output/sub/TEST-2.xml": REPORT,
                "output/broken.xml": REPORT[:-1],
                "output/other.xml": b"<project/>",
                "output/report.txt": REPORT,
            }
        }
    )
    assert len(found.artifacts) == 5
    assert (found.tests.total, found.tests.passed) == (2, 2)
    assert found.left_out == (
        "1 test report could not be read: 'output/broken.xml' (unclosed token: line 1, column 31)"
    )


def test_many_broken_reports_are_told_in_short(collect):
    found = collect({"output": {f"output/{n}.xml": REPORT[:-1] for n in range(5)}})
    assert found.left_out.startswith("5 test reports could not be read: 'output/0.xml' (")
    assert found.left_out.endswith(" and 2 more")


def test_a_report_that_came_with_the_project_does_not_count(collect):
    before = STARTED - timedelta(microseconds=1)
    stale = WorkloadFile("output/junit.xml", len(REPORT), before, iter([REPORT]))
    found = collect({"output": {"output/junit.xml": stale}})
    assert paths(found) == ["output/junit.xml"]
    assert found.tests is None


def test_limits(collect):
    files = {
        "output/a": b"x" * 600,
        "output/b": b"x" * 600,
        "output/c": b"x" * 300,
        "output/junit.xml": REPORT,
        "output/z": b"",
    }
    found = collect({"output": files}, max_bytes=920)
    assert paths(found) == ["output/a", "output/c", "output/z"]
    assert found.left_out == "artifacts left out: 2 beyond the limit of 0 MiB"
    assert found.tests.total == 1
    found = collect({"output": files}, max_files=2)
    assert paths(found) == ["output/a", "output/b"]
    assert found.left_out == "artifacts left out: 3 beyond the limit of 2 files"
    assert found.tests.total == 1
    assert paths(collect({"output": files}, max_files=0)) == []


def test_names_that_cannot_be_stored(collect):
    found = collect(
        {"output": {"output/\udce9": b"x", "output/" + "n" * 5000: b"", "output/a": b""}}
    )
    assert paths(found) == ["output/a"]
    assert found.left_out == "artifacts left out: 2 with names that are not UTF-8 or too long"


def test_left_out_is_told_in_the_outcome(collect):
    outcome = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 0", 0)
    assert collect({}).note(outcome) is outcome
    noted = collect({"output": {"output/a": b"x"}}, max_files=0).note(outcome)
    expected = "exited with code 0; artifacts left out: 1 beyond the limit of 0 files"
    assert (noted.message, noted.exit_code, noted.success) == (expected, 0, True)


@pytest.mark.parametrize("where", ["opening", "reading"])
def test_files_that_cannot_be_read_cost_no_result(collect, where):
    error = FilesUnreadableError("a broken archive")
    output = error if where == "opening" else {"output/a": b"1", "output/b": error}
    found = collect({"output": output, "dist": {"dist/w": b""}}, "output", "dist/*")
    assert paths(found) == (["dist/w"] if where == "opening" else ["dist/w", "output/a"])
    assert found.left_out == "artifacts left out: 'output' is incomplete: a broken archive"


@pytest.mark.parametrize(
    "error",
    [
        EngineUnavailableError("gone"),
        OSError(errno.ENOSPC, "full"),
        LeaseLostError(),
        RuntimeError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["opening", "reading"])
def test_other_errors_are_passed_on_and_nothing_stays(collect, tmp_path, error, where):
    answer = error if where == "opening" else {"output/a": b"1", "output/b": error}
    with pytest.raises(type(error)):
        collect({"output": answer})
    assert leftovers(tmp_path) == []


def test_again_replaces(collect, store):
    (old,) = collect({"output": {"output/a": b"1"}}).artifacts
    (new,) = collect({"output": {"output/a": b"2"}}).artifacts
    with store.open(JOB, new) as file:
        assert file.read() == b"2"
    assert old != new


def test_cancelled_while_reading(store, tmp_path):
    """The blocked read is interrupted, and nothing is removed before it has ended."""
    reading = threading.Event()

    class Blocked(Files):
        def __iter__(self):
            yield WorkloadFile("output/a", 9, STARTED, self.content())

        def content(self):
            yield b"some"
            reading.set()
            assert self.closed.wait(20)
            raise EngineUnavailableError

    async def scenario():
        executor = Executor({"output": Blocked({})})
        collector = ArtifactCollector(executor, store, ArtifactLimits(100, 100))
        task = asyncio.create_task(collector.collect(job(), EXITED))
        assert await asyncio.to_thread(reading.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert leftovers(tmp_path) == []
    assert list((tmp_path / "staging/artifacts").iterdir()) == []


def test_a_pattern_that_matched_nothing_is_told(collect):
    dist = {"dist/a.whl": b"x"}
    assert collect({"dist": dist}, "dist/*.whl").left_out == ""
    assert collect({"dist": dist}, "dist/*.tar.gz", "dist/*.whl").left_out == (
        "no file matches the artifact pattern 'dist/*.tar.gz'"
    )
    assert collect({}, "dist/*", "x").left_out == (
        "no file matches the artifact pattern 'dist/*', 'x'"
    )
    assert collect({}, "output/**").left_out == "", "which is the default"


def test_a_pattern_is_not_blamed_when_not_all_files_were_looked_at(collect):
    broken = FilesUnreadableError("a broken archive")
    assert "no file matches" not in collect({"dist": broken}, "dist/*").left_out
