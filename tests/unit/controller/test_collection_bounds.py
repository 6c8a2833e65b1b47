"""How much of a job's files is looked at, for how long, and of how many jobs at once."""

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import EngineUnavailableError
from ci_common.job import Job
from ci_common.ports.workloads import WorkloadFile
from ci_controller.running.artifacts import ArtifactCollector, ArtifactLimits
from ci_controller.running.collection import LOOK_AHEAD_FILES
from ci_persistence.files.artifacts import FileArtifactStore
from support.scripted_files import EXITED, REPORT, STARTED, Executor, Files, job
from support.waiting import until

LATER = STARTED + timedelta(seconds=1)


class Many:
    """Files without end, made one by one: `asked` counts them."""

    def __init__(self, name="output/{:07}", size=0):
        self.name, self.size = name, size
        self.asked = 0
        self.closed = threading.Event()

    def __iter__(self):
        while True:
            path = self.name.format(self.asked)
            self.asked += 1
            yield WorkloadFile(path, self.size, LATER, iter([bytes(min(self.size, 10))]))

    def close(self):
        self.closed.set()


class ManyExecutor(Executor):
    """An executor whose answers may be endless."""

    async def files(self, job_id, path):
        answer = self.answers.get(path)
        if isinstance(answer, Many):
            self.given.append(answer)
            return answer
        return await super().files(job_id, path)


@pytest.fixture
def store(tmp_path):
    return FileArtifactStore(tmp_path)


def collect(store, answers, *globs, max_bytes=1 << 20, max_files=10):
    collector = ArtifactCollector(
        ManyExecutor(answers), store, ArtifactLimits(max_bytes, max_files)
    )
    return asyncio.run(collector.collect(job(*globs), EXITED))


def paths(collected):
    return [artifact.path for artifact in collected.artifacts]


def test_of_files_without_end_the_first_are_kept_and_the_rest_is_not_looked_at(store):
    many = Many()
    found = collect(store, {"output": many})
    assert paths(found) == [f"output/{number:07}" for number in range(10)]
    assert many.asked == 10 + LOOK_AHEAD_FILES + 1
    assert many.closed.is_set()
    assert found.left_out == (
        "artifacts left out: at least 1001 beyond the limit of 10 files, "
        "everything from 'output/0001010' on, in the order of paths"
    )


def test_a_few_too_many_are_counted_exactly(store):
    files = {f"output/{number:07}": b"" for number in range(10 + LOOK_AHEAD_FILES)}
    found = collect(store, {"output": files})
    assert found.left_out == "artifacts left out: 1000 beyond the limit of 10 files"


def test_roots_behind_it_are_not_asked_for(store):
    executor_answers = {"output": Many(), "zzz": {"zzz": b"1"}}
    found = collect(store, executor_answers, "output", "zzz")
    assert len(found.artifacts) == 10
    assert "everything from 'output/" in found.left_out


def test_the_report_that_pytest_was_asked_for_is_read_wherever_it_is(store):
    answers = {"output": Many(), "output/junit.xml": {"output/junit.xml": REPORT}}
    found = collect(store, answers)
    assert found.tests.total == 1
    assert "output/junit.xml" not in paths(found)
    assert "at least 1002 beyond the limit of 10 files" in found.left_out


def test_the_report_is_read_once(store):

    class First(Many):
        def __iter__(self):
            yield from Files({"output/junit.xml": REPORT})
            yield from super().__iter__()

    answers = {"output": First("output/l{:07}"), "output/junit.xml": {"output/junit.xml": REPORT}}
    found = collect(store, answers)
    assert found.tests.total == 1
    assert paths(found)[0] == "output/junit.xml"


def test_a_million_reports(store, monkeypatch):
    monkeypatch.setattr("ci_controller.running.collection.MAX_REPORTS", 3)
    files = {f"output/{number}.xml": REPORT for number in range(5)}
    found = collect(store, {"output": files})
    assert found.tests.total == 3
    assert found.left_out == "2 test reports beyond 3 files were not read"


def test_a_file_as_long_as_a_disk_is_not_read_through(store):
    """A container engine would send it all, to be thrown away."""

    class Sparse(Many):
        def __iter__(self):
            yield WorkloadFile("output/a", 3, LATER, iter([b"abc"]))
            yield WorkloadFile("output/b", 1 << 40, LATER, self.endless())
            raise AssertionError("looked at what is behind it")

        def endless(self):
            raise AssertionError("read")
            yield b""

    found = collect(store, {"output": Sparse()})
    assert paths(found) == ["output/a"]
    assert found.left_out == (
        "artifacts left out: at least 1 beyond the limit of 1 MiB, "
        "everything from 'output/b' on, in the order of paths"
    )


def test_many_that_are_too_large(store):
    many = Many(size=100 << 20)
    found = collect(store, {"output": many})
    assert many.asked == 11  # a gibibyte
    assert paths(found) == []
    assert "at least 11 beyond the limit of 1 MiB" in found.left_out


def test_many_with_names_that_cannot_be_stored(store):
    many = Many("output/\udce9{}")
    found = collect(store, {"output": many})
    assert many.asked == LOOK_AHEAD_FILES + 1
    assert "at least 1001 with names that are not UTF-8" in found.left_out


def test_files_that_do_not_match_do_not_count(store):
    files = {f"output/{number}.txt": b"" for number in range(3 * LOOK_AHEAD_FILES)}
    found = collect(store, {"output": {**files, "output/z.whl": b"w"}}, "output/*.whl")
    assert paths(found) == ["output/z.whl"]
    assert found.left_out == ""


# ------------------------------------------------------------------ several jobs


class Blocked(Files):
    """Files that do not come before `go_on`."""

    def __init__(self, files):
        super().__init__(files)
        self.go_on = threading.Event()

    def __iter__(self):
        while not self.go_on.wait(0.01):
            if self.closed.is_set():
                raise EngineUnavailableError("closed")
        yield from super().__iter__()


class Jobs:
    """Jobs whose artifacts are collected at once."""

    def __init__(self, store, **limits):
        self.blocked = {}
        self.collector = ArtifactCollector(self, store, ArtifactLimits(1 << 20, 100, **limits))
        self.tasks = {}

    async def files(self, job_id, path):
        if path != "output":
            return None
        self.blocked[job_id] = Blocked({"output/a": b"1"})
        return self.blocked[job_id]

    def begin(self, name, cancelled=False):
        """A job whose tenant is the name's first letter."""
        wanted: Job = replace(
            job(), job_id=name, tenant=name[0], cancel_requested_at=LATER if cancelled else None
        )
        self.tasks[name] = asyncio.create_task(self.collector.collect(wanted, EXITED))
        return self.tasks[name]

    async def until_at_it(self, *names):
        await until(
            lambda: sorted(self.blocked), lambda seen: seen == sorted(names), "who is at it"
        )

    async def finish(self, name):
        self.blocked.pop(name).go_on.set()
        return await self.tasks[name]


def test_a_few_at_once_and_no_tenant_takes_all(store):
    async def scenario():
        jobs = Jobs(store, max_collections=3)
        for name in ("a1", "a2", "a3", "a4", "b1", "b2"):
            jobs.begin(name)
        await jobs.until_at_it("a1", "a2", "b1")
        await jobs.finish("b1")
        await jobs.until_at_it("a1", "a2", "b2")
        assert paths(await jobs.finish("a1")) == ["output/a"]
        await jobs.until_at_it("a2", "a3", "b2")
        for name in ("a2", "b2", "a3"):
            await jobs.finish(name)
        await jobs.until_at_it("a4")
        await jobs.finish("a4")

    asyncio.run(scenario())


def test_one_that_waits_can_be_given_up(store):
    async def scenario():
        jobs = Jobs(store, max_collections=1)
        jobs.begin("a1")
        await jobs.until_at_it("a1")
        waiting = jobs.begin("b1")
        behind = jobs.begin("b2")
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await jobs.finish("a1")
        await jobs.until_at_it("b2")
        await jobs.finish("b2")
        assert behind.done()

    asyncio.run(scenario())


def test_those_of_a_cancelled_job_are_not_waited_for_long(store):
    async def scenario():
        jobs = Jobs(store, max_collections=1, cancelled_seconds=0.1)
        at_it = jobs.begin("a1")
        await jobs.until_at_it("a1")
        in_line = jobs.begin("b1", cancelled=True)
        found = await in_line
        assert found.left_out == (
            "artifacts left out: all of them: collecting could not begin within 0.1 s of the "
            "job's cancellation"
        )
        jobs.collector.hurry("a1")
        jobs.collector.hurry("a1")
        jobs.collector.hurry("nobody")
        found = await at_it
        assert found.left_out == (
            "artifacts left out: files that were not reached within 0.1 s of the job's cancellation"
        )
        assert jobs.blocked["a1"].closed.is_set()
        jobs.begin("a1")  # the slot is free again
        await asyncio.sleep(0)
        assert paths(await _ended(jobs, "a1")) == ["output/a"]

    async def _ended(jobs, name):
        del jobs.blocked[name]
        await jobs.until_at_it(name)
        return await jobs.finish(name)

    asyncio.run(scenario())
