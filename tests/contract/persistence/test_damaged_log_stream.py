"""A stream of a damaged log gives what can be read, then the result, and says what is missing."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from ci_common.events import CompleteEvent, Event, LogEvent
from ci_common.job import Job, JobSpec, JobStatus, Outcome, Package, Reason
from ci_common.waiting import JobSlots
from ci_persistence.logs import archive as log_archive
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_server.apis.native.present import event_json
from ci_server.streams.log_stream import LogStreams
from ci_server.streams.wait_reasons import WaitReasons

JOB = "4be0643f-1d98-473b-97cd-ca98a65347dd"


def finished(size: int) -> Job:
    return Job(
        JOB,
        "t",
        "u",
        JobSpec(("true",)),
        Package("", 1),
        JobStatus.COMPLETED,
        datetime(2026, 1, 1, tzinfo=UTC),
        outcome=Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 0", 0),
        log_size=size,
    )


def test_the_stream_of_a_damaged_log_ends_with_the_result(tmp_path: Path) -> None:
    signals, size = ProcessJobSignals(), 400 << 10
    store = FileLogStore(tmp_path, signals)
    content = b"".join(b"line %d\n" % number for number in range(size // 6))[:size]
    log = store.open(JOB, 1)
    log.append(content)
    log.close()
    with mock.patch.object(log_archive, "FRAME_BYTES", 128 << 10):
        store.compress(JOB, size)
    (archive,) = tmp_path.rglob("*.log.zst")
    with archive.open("r+b") as file:
        index = log_archive.read_index(str(archive), file.fileno(), archive.stat().st_size)
        begin, end, _ = index.span(2)
        file.seek((begin + end) // 2)
        file.write(b"damage")
    jobs: Any = None
    streams = LogStreams(
        jobs, FileLogStore(tmp_path, signals), signals, WaitReasons(jobs, JobSlots(4))
    )

    async def watch() -> list[Event]:
        return [event async for event in streams.events(finished(size), 0)]

    *logs, complete = asyncio.run(watch())
    seen = b"".join(event.content for event in logs if isinstance(event, LogEvent))
    assert seen == content[: len(seen)]
    # An event that begins within a character's length of a boundary goes on beyond it.
    assert 0 <= (256 << 10) - len(seen) < 4
    assert isinstance(complete, CompleteEvent)
    told = event_json(complete)
    assert told["success"] is True
    assert f"cannot be read from byte {len(seen)} on" in told["message"]
