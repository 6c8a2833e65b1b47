"""What every executor promises about the files a workload leaves (port WorkloadFiles)."""

import asyncio
import hashlib

import pytest

from ci_common.errors import EngineUnavailableError, WorkloadLostError
from ci_controller.running.artifacts import ArtifactCollector, ArtifactLimits
from ci_persistence.files.artifacts import FileArtifactStore
from support.executors import collect

pytestmark = pytest.mark.anyio


async def exited(bench, source, **options):
    """A job whose command has ended, and whose files are still there."""
    job = bench.job(source, **options)
    output = await collect(await bench.launch(job))
    workload = await bench.ended(job.job_id)
    assert workload.exit_code == 0, output
    return job, workload


async def read(bench, job, path):
    """Content by path, in order; `None` when there is nothing at the path."""
    files = await bench.executor.files(job.job_id, path)
    if files is None:
        return None
    try:
        return await asyncio.to_thread(lambda: {f.path: b"".join(f.content) for f in files})
    finally:
        files.close()


WRITE = """
import os, pathlib
def write(path, content=b""):
    p = pathlib.Path(os.fsdecode(path)); p.parent.mkdir(parents=True, exist_ok=True)
    p.write_bytes(content)
"""


async def test_files_at_or_below_a_path(bench):
    source = WRITE + (
        "write('output/b', b'bb'); write('output/a/z', b'z'); write('output/.hidden');"
        "write('output/a.txt', bytes(1 << 20)); write('output2/x'); os.mkdir('output/empty')"
    )
    job, _ = await exited(bench, source, files={"from/project": b"p"})
    below = {
        "output/.hidden": b"",
        "output/a/z": b"z",
        "output/a.txt": bytes(1 << 20),
        "output/b": b"bb",
    }
    assert await read(bench, job, "output") == below
    assert list(await read(bench, job, "output")) == list(below)
    assert await read(bench, job, "output/a") == {"output/a/z": b"z"}
    assert await read(bench, job, "output/b") == {"output/b": b"bb"}
    assert await read(bench, job, "output/empty") == {}
    assert set(await read(bench, job, ".")) == {*below, "from/project", "output2/x"}


async def test_nothing_there(bench):
    job, _ = await exited(bench, "pass")
    assert await read(bench, job, "output") is None
    assert await read(bench, job, "file.txt/below") is None
    with pytest.raises(WorkloadLostError):
        await bench.executor.files("11111111-0000-4000-8000-000000000000", "output")


async def test_links_and_special_files_are_left_out(bench):
    source = WRITE + (
        "write('output/a', b'a'); os.link('output/a', 'output/b'); os.mkfifo('output/c');"
        "os.symlink('a', 'output/d'); os.symlink('/etc', 'output/e'); os.symlink('/etc', 'link');"
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('output/f')"
    )
    job, _ = await exited(bench, source)
    assert await read(bench, job, "output") == {"output/a": b"a"}
    assert await read(bench, job, "link") == {}
    assert await read(bench, job, "output/d") == {}


async def test_hostile_names(bench):
    names = [b"\xff\xfe", b"new\nline", b"-rf", b"..\\x", b"a b", b"\x1b[31m", b"n" * 255, b"..."]
    source = WRITE + f"for n in {names!r}: write(b'output/' + n, n)"
    job, _ = await exited(bench, source)
    found = await read(bench, job, "output")
    assert sorted(found.values()) == sorted(names)
    assert {path.encode(errors="surrogateescape") for path in found} == {
        b"output/" + name for name in names
    }


async def test_sizes_and_times(bench):
    job, workload = await exited(bench, WRITE + "write('new', b'123')", files={"old": b"1"})
    files = await bench.executor.files(job.job_id, ".")
    facts = await asyncio.to_thread(lambda: {f.path: (f.size, f.modified_at) for f in files})
    files.close()
    assert (facts["old"][0], facts["new"][0]) == (1, 3)
    started = workload.started_at.replace(microsecond=0)
    assert facts["old"][1] < started <= facts["new"][1] <= workload.finished_at


@pytest.mark.parametrize("seconds", [-1, 2**33, 2**62, 253_402_300_800])
async def test_any_time_that_a_job_sets_is_a_date(bench, seconds):
    source = WRITE + f"write('a', b''); os.utime('a', ({seconds}, {seconds}))"
    job, _ = await exited(bench, source)
    files = await bench.executor.files(job.job_id, "a")
    (file,) = await asyncio.to_thread(lambda: list(files))
    files.close()
    assert 1970 <= file.modified_at.year <= 9999


async def test_a_large_file_is_streamed(bench):
    source = WRITE + "block = bytes(range(256)) * 4096; write('output/big', block * 64)"
    job, _ = await exited(bench, source)

    def told_of(file):
        digest, largest = hashlib.sha256(), 0
        for piece in file.content:
            digest.update(piece)
            largest = max(largest, len(piece))
        return digest.hexdigest(), file.size, largest

    files = await bench.executor.files(job.job_id, "output")
    ((seen, size, largest),) = await asyncio.to_thread(lambda: [told_of(f) for f in files])
    files.close()
    assert size == 64 << 20
    assert seen == hashlib.sha256(bytes(range(256)) * 4096 * 64).hexdigest()
    assert largest <= 1 << 20


async def test_closed_in_the_middle(bench):
    """From another thread, as when the controller shuts down; the workload is not held up."""
    job, _ = await exited(bench, WRITE + "write('output/big', bytes(64 << 20)); write('output/c')")
    files = await bench.executor.files(job.job_id, "output")

    def begin():
        iterator = iter(files)
        file = next(iterator)
        return iterator, file, next(file.content)

    iterator, file, first = await asyncio.to_thread(begin)
    assert first
    files.close()
    files.close()
    with pytest.raises(EngineUnavailableError):
        await asyncio.to_thread(lambda: (list(file.content), list(iterator)))
    assert (await bench.executor.inspect(job.job_id)).exit_code == 0
    assert set(await read(bench, job, "output")) == {"output/big", "output/c"}


async def test_pytest_leaves_a_report_that_is_collected(bench, tmp_path):
    project = {
        "tests/test_it.py": b"def test_good(): pass\ndef test_bad(): assert 1 == 2\n",
        "output/old.txt": b"from the project",
    }
    job = bench.job("python", "-m", "pytest", "-q", files=project)
    await collect(await bench.launch(job))
    workload = await bench.ended(job.job_id)
    store = FileArtifactStore(tmp_path / "store")
    collector = ArtifactCollector(bench.executor, store, ArtifactLimits(1 << 30, 100))
    found = await collector.collect(job, workload)
    assert [a.path for a in found.artifacts] == ["output/junit.xml", "output/old.txt"]
    assert found.left_out == ""
    assert (found.tests.passed, found.tests.failed) == (1, 1)
    (failure,) = found.tests.failures
    assert (failure.name, failure.message) == ("tests/test_it.py::test_bad", "assert 1 == 2")
    with store.open(job.job_id, found.artifacts[1]) as file:
        assert file.read() == b"from the project"
