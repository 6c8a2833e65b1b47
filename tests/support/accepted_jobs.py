"""Jobs that a server has acknowledged, each with a reader from then on, held to the promises."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from ci_client.client import Client
from ci_client.library.sse_reader import log_bytes
from support import seeded_output
from support.archives import zip_bytes
from support.failure_lines import without_failure_line

SOURCE = Path(seeded_output.__file__).read_bytes()

END_SECONDS = 90.0
"""A kill costs the time until the lease has run out, and this many jobs wait for two cores."""

_SUCCEEDED = ("completed", "exit")


class Watcher(threading.Thread):
    """Reads a job's stream with the product's own reader, however often it must reconnect."""

    def __init__(self, url, job_id):
        super().__init__(name=f"watch {job_id}", daemon=True)
        self._url = url
        self._job_id = job_id
        self.content = bytearray()
        self.completes = []
        self.retries = 0
        self.error = None
        self.start()

    def run(self):
        try:
            with Client(self._url, patience=120, on_retry=self._count) as client:
                for event in client.follow(self._job_id, from_beginning=True):
                    if event["type"] == "log":
                        self.content += log_bytes(event)
                    elif event["type"] == "complete":
                        self.completes.append(event)
        except Exception as error:  # noqa: BLE001 - the test's own thread asserts on it
            self.error = error

    def _count(self, why, seconds):
        self.retries += 1


@dataclass
class AcceptedJob:
    """What the test knows of one job."""

    job_id: str
    watcher: Watcher
    output: bytes | None
    """What its command writes when nothing stops it; None when that is not known."""


@dataclass
class SeededJob:
    """A job whose output is known."""

    seed: str
    count: int = 300
    width: int = 64
    seconds: float = 0.0
    exit_code: int = 0
    artifacts: int = 0
    artifact_size: int = 0
    wait_at: int | None = None
    """The line before which it waits for `engine.release`."""
    table: dict = field(default_factory=dict)
    """More of the job's table: retries, grace, log, …"""
    files: dict = field(default_factory=dict)

    @property
    def command(self):
        numbers = {
            "count": self.count,
            "width": self.width,
            "seconds": self.seconds,
            "exit": self.exit_code,
            "artifacts": self.artifacts,
            "artifact-size": self.artifact_size,
        }
        if self.wait_at is not None:
            numbers["wait-at"] = self.wait_at
        options = [f"--{name}={value}" for name, value in numbers.items()]
        return ["python", "seeded_output.py", self.seed, *options]

    @property
    def output(self):
        return seeded_output.lines(self.seed, self.count, self.width)

    @property
    def project(self):
        return project({**self.table, "command": self.command}, self.files)


def project(table, files=None):
    """A project with the job `test` of this table, and the module that makes output."""
    rows = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
    toml = f"[jobs.test]\n{rows}"
    return zip_bytes({"ci.toml": toml, "seeded_output.py": SOURCE, **(files or {})})


class AcceptedJobs:
    """Submits jobs, and checks at the end what was promised for every one of them."""

    def __init__(self, server):
        self._server = server
        self.jobs = []

    def submit(self, job, **table):
        """Submit a SeededJob."""
        job.table.update(table)
        return self.add(self._server.submit(job.project), job.output)

    def submit_project(self, content, output=None):
        """Submit a zip whose job `test` writes this."""
        return self.add(self._server.submit(content), output)

    def add(self, job_id, output=None):
        """Take on a job that was submitted in another way; watched from here on."""
        job = AcceptedJob(job_id, Watcher(self._server.url, job_id), output)
        self.jobs.append(job)
        return job

    def settle(self, seconds=END_SECONDS):
        """Wait for all, and check them; their rows by id."""
        return {job.job_id: self._check(job, seconds) for job in self.jobs}

    def _check(self, accepted, seconds):
        row = self._server.finished(accepted.job_id, seconds=seconds)
        log = self._server.log(accepted.job_id)
        watcher = accepted.watcher
        watcher.join(seconds)
        if watcher.is_alive():
            pytest.fail(
                f"the reader of {accepted.job_id} saw {len(watcher.content)} of {len(log)} bytes "
                f"and no end of {row}\n{self._server.log_tail()}"
            )
        assert watcher.error is None, f"{watcher.error!r}\n{self._server.log_tail()}"
        assert len(watcher.completes) == 1
        told = watcher.completes[0]
        facts = ("status", "success", "exit_code", "reason")
        assert {fact: told[fact] for fact in facts} == {fact: row[fact] for fact in facts}
        assert row["log_size"] == len(log)
        same(bytes(watcher.content), log, "what the reader saw")
        if accepted.output is not None:
            self._check_output(row, log, accepted.output)
        return row

    def _check_output(self, row, log, output):
        assert (row["log_dropped"] == "unknown") == ("output may be missing" in row["message"]), row
        has_room = row["reason"] != "disk_full"  # or there was none for these lines, too
        if has_room or b"ci: the job failed: disk_full: " in log:
            log = without_failure_line(log, row)
        if row["log_dropped"] == "unknown" and row["attempt"] == 1 and has_room:
            log, marker, _ = log.rpartition(b"\n[... output may be missing here")
            assert marker, "output is lost, and the log does not say so"
        if (row["status"], row["reason"]) == _SUCCEEDED and row["exit_code"] in (0, 3):
            same(log, output, "the stored log")
        elif row["attempt"] == 1 and row["reason"] != "log_limit":
            if not output.startswith(log):
                log = log.removesuffix(b"\n")  # the line about a failure begins anew
            same(log, output[: len(log)], "the stored log, as far as it goes,")


def same(found, expected, what):
    """Compare by hash; tell where they part without printing megabytes."""
    if hashlib.sha256(found).digest() == hashlib.sha256(expected).digest():
        return
    pairs = zip(found, expected, strict=False)
    first = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
    first = min(len(found), len(expected)) if first is None else first
    pytest.fail(
        f"{what} has {len(found)} bytes and not {len(expected)}, and differs from byte {first} on: "
        f"{found[max(first - 80, 0) : first + 80]!r} instead of "
        f"{expected[max(first - 80, 0) : first + 80]!r}"
    )


def submit_in_thread(url, content):
    """Submit from a thread of its own: the thread, and a list that holds the id once answered."""
    answered = []

    def send():
        parts = {"file": ("project.zip", content, "application/zip")}
        try:
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
                answer = http.post("/submit-async", files=parts)
        except httpx.TransportError:
            return  # nobody answered, so nothing was promised
        if answer.status_code == 200:
            answered.append(answer.json()["job_id"])

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread, answered
