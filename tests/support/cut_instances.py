"""An instance on a disk that loses power, and a record of everything it has acknowledged."""

import base64
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field

import httpx
import pytest

from support import seeded_output
from support.accepted_jobs import END_SECONDS, AcceptedJobs, SeededJob, same
from support.live_server import LiveServer
from support.nothing_left import assert_nothing_left
from support.waiting import until_sync

_DIGEST = 'for name in "$@"; do sha256sum < "$CI_SECRETS_DIR/$name"; done'

_ENDED = ("completed", "failed", "cancelled")


@dataclass
class SecretJob(SeededJob):
    """A job that writes the SHA-256 of its secrets, which are sent with it or are the tenant's."""

    secrets: dict = field(default_factory=dict)
    sent: bool = True

    def __post_init__(self):
        if not self.sent:
            self.table["secrets"] = [*self.secrets]

    @property
    def command(self):
        return ["sh", "-c", _DIGEST, self.seed, *self.secrets]

    @property
    def output(self):
        hashes = (hashlib.sha256(value.encode()).hexdigest() for value in self.secrets.values())
        return "".join(f"{digest}  -\n" for digest in hashes).encode()

    @property
    def form(self):
        """The part of a submission with the values."""
        parts = {
            name: {"value": base64.b64encode(value.encode()).decode()}
            for name, value in self.secrets.items()
        }
        return {"secrets": json.dumps(parts)} if self.sent else None


@dataclass
class EndlessJob(SeededJob):
    """A job that only ends when it is cancelled."""

    seconds: float = 600.0


class CutInstance:
    """A server whose database and data directory are on one disk, through several power cuts.

    Every successful answer that a client received is an acknowledgement, however close to the cut.
    """

    def __init__(self, disk, directory, **settings):
        self._disk = disk
        places = {"db_path": disk.path / "ci.db", "data_dir": disk.path / "data"}
        room = {"min_free_disk_mb": 16, "disk_reserve_mb": 8}
        self.server = LiveServer(directory, **places, **room, **settings)
        self.server.database = self.server.settings.db_path
        temporary = self.server.directory / "tmp"
        temporary.mkdir()
        self.server.environment["TMPDIR"] = str(temporary)
        self.acknowledged = {}
        """Jobs by id."""
        self.cancelled = set()
        """Jobs whose cancellation was acknowledged."""
        self.secrets = {}
        """The tenant's, by name."""
        self.told = {}
        """Finished jobs, as the API last showed them."""
        self._sent = {}
        """Jobs by command, so that jobs whose answer was lost can be checked as well."""
        self._followed = AcceptedJobs(self.server)

    # ------------------------------------------------------------------ work

    def submit(self, job, follow=False):
        """Submit from any thread; the job's id, or None when it was not acknowledged."""
        job.table.setdefault("network", "none")
        self._sent[tuple(job.command)] = job
        form = {**self.server.form(job.project), "data": getattr(job, "form", None)}
        answer = self._ask("POST", "/submit-async", **form)
        if answer is None:
            return None
        job_id = answer.json()["job_id"]
        self.acknowledged[job_id] = job
        if follow:
            self._followed.add(job_id, None if isinstance(job, EndlessJob) else job.output)
        return job_id

    def cancel(self, job_id):
        """Cancel the job, from any thread."""
        # 409, it has finished: an earlier cancel got through, and its answer was lost.
        if self._ask("DELETE", f"/jobs/{job_id}", expected=(202, 409)) is not None:
            self.cancelled.add(job_id)

    def look(self):
        """Record the finished jobs; how many of the followed ones are finished."""
        for row in self._list():
            if row["status"] in _ENDED:
                self.told[row["job_id"]] = row
        return sum(job.job_id in self.told for job in self._followed.jobs)

    def admin(self, *arguments, value=""):
        """`ci-admin`, started and not waited for."""
        process = subprocess.Popen(
            [sys.executable, "-m", "ci_admin", *map(str, arguments)],
            cwd=self.server.directory,
            env=self.server.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        process.stdin.write(value)
        process.stdin.close()
        return process

    def _ask(self, method, path, expected=(200,), **options):
        """The answer; None when nothing was acknowledged."""
        try:
            with httpx.Client(base_url=self.server.url, timeout=30, trust_env=False) as http:
                answer = http.request(method, path, **options)
        except httpx.TransportError:
            return None
        assert answer.status_code in expected or answer.status_code >= 500, answer.text
        return answer if answer.status_code in expected else None

    def _list(self):
        answer = self.server.http.get("/jobs", params={"limit": 1000})
        assert answer.status_code == 200, answer.text
        return answer.json()

    # ------------------------------------------------------------------ the cut

    def cut(self, *processes, disks=()):
        """Cut the power of the server, these processes and these disks, and restore it.

        The processes are stopped first, even in the middle of an fsync: after a power cut nothing
        runs or answers. Without this, an answer can follow the cut: when ext4 is shut down during
        an fsync, the kernel sometimes reports success although nothing reached the disk.
        """
        disks = (self._disk, *disks)
        self._signal(signal.SIGSTOP, processes)
        for disk in disks:
            disk.cut()
        self._signal(signal.SIGKILL, processes)
        for process in (self.server.process, *processes):
            process.wait()
        for disk in disks:
            disk.remount()

    def _signal(self, number, processes):
        with suppress(ProcessLookupError):
            os.killpg(self.server.process.pid, number)
        for process in processes:
            process.send_signal(number)

    def cut_while_starting(self, delay):
        """Start a server, and cut the power again `delay` seconds later."""
        former = self.server.process

        def start():
            with suppress(pytest.fail.Exception):
                self.server.start()

        starter = threading.Thread(target=start, daemon=True)
        starter.start()
        until_sync(lambda: self.server.process is not former, what="the next server")
        time.sleep(delay)  # the random point
        self.cut()
        starter.join()

    # ------------------------------------------------------------------ what must be there

    def check(self, dice):
        """Start the server, and check everything that was acknowledged."""
        self.server.start()
        self._check_database()
        self._check_told()
        rows = {row["job_id"]: row for row in self._list()}
        lost = self.acknowledged.keys() - rows.keys()
        assert not lost, f"{lost}\n{self.server.log_tail()}"
        after = SecretJob(f"{dice.random()}", secrets=dict(self.secrets), sent=False)
        rows[self.submit(after)] = {"command": after.command}
        for job_id, row in rows.items():
            job = self._sent[tuple(row["command"])]
            if isinstance(job, EndlessJob) and job_id not in {*self.told, *self.cancelled}:
                self.cancel(job_id)
        for job_id in rows.keys() - self.told.keys():
            self._check_end(job_id, self._sent[tuple(rows[job_id]["command"])])
        self._followed.settle()
        self._followed.jobs.clear()

    def _check_database(self):
        with closing(sqlite3.connect(self.server.database, timeout=30)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

    def _check_told(self):
        """Before jobs run on: what a finished job lost cannot be recovered later."""
        for watched in self._followed.jobs:
            if watched.watcher.completes:
                self.told.setdefault(watched.job_id, None)
        for job_id, told in self.told.items():
            row = _as_listed(self.server.job(job_id))
            assert row["waiting"] is None
            assert row["status"] in _ENDED, row
            assert told in (row, None)
            self._check_files(row, self._sent[tuple(row["command"])])
            self.told[job_id] = row

    def _check_end(self, job_id, job):
        row = _as_listed(self.server.finished(job_id, END_SECONDS))
        assert row["waiting"] is None
        told = f"{row}\n{self.server.log_tail()}"
        assert row["attempt"] == 1, told
        if job_id in self.cancelled:
            assert row["status"] == "cancelled", told
        else:
            assert (row["status"], row["exit_code"]) == ("completed", job.exit_code), told
        self._check_files(row, job)
        self.told[job_id] = row

    def _check_files(self, row, job):
        log = self.server.log(row["job_id"])
        assert row["log_size"] == len(log)
        whole = row["status"] == "completed"
        same(log, job.output if whole else job.output[: len(log)], f"the log of {row}")
        for number in range(job.artifacts if whole else 0):
            path = f"/jobs/{row['job_id']}/artifacts/output/{number}.bin"
            content = seeded_output.artifact(job.seed, number, job.artifact_size)
            same(self.server.http.get(path).content, content, f"artifact {number} of {row}")

    # ------------------------------------------------------------------ the end

    def check_nothing_left(self):
        """Nothing of finished jobs is left once what the cuts left is old enough to be swept."""
        secrets = [*self.server.data.glob("secrets/*")]
        for path in secrets:
            os.utime(path, (0, 0))
        if secrets:
            self.server.terminate()
            self.server.start()
        assert_nothing_left(self.server)
        assert [*self.server.data.glob("secrets/*")] == []

    def close(self):
        """Stop the server and remove its containers."""
        self.server.close()


def _as_listed(job):
    """A job as lists have it."""
    assert job.pop("settings")
    job.pop("resources")
    return job
