"""A real server as a process of its own, with its own database, containers and log file."""

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections import deque
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from ci_common.settings import Settings
from support.engine import remove_everything_of
from support.engine_option import server_settings
from support.waiting import until_sync

ROOT = Path(__file__).parents[2]

STOP_SECONDS = 20.0

START_SECONDS = 90.0
"""Generous: several workers, each of which loads the program, on a machine that is busy."""
_FINISHED = ("completed", "failed", "cancelled")


_given = deque(maxlen=100)
"""Ports that may not be in use yet: of a server, and of another one within it."""


def free_port():
    """A port below those the kernel hands out, so that it stays free over a restart."""
    while True:
        port = random.randint(20_000, 32_000)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.append(port)
            return port


class LiveServer:
    """`python -m uvicorn ci_server.app:app`, which may be killed and started again; with
    `hardened`, `python -m ci_server`.

    `settings` are those of ci_common.settings, in lower case; `environment` is added as it is.
    """

    def __init__(
        self, directory, *, python=sys.executable, environment=None, hardened=False, **settings
    ):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.database = self.directory / "ci.db"
        self.log_path = self.directory / "server.log"
        self.prefix = f"t{uuid.uuid4().hex[:8]}-"
        self.port = free_port()
        self.process = None
        self._module = ["ci_server"] if hardened else ["uvicorn", "ci_server.app:app"]
        self._python = python
        self._started_at = 0
        self._others = []
        own = {"db_path": self.database, "container_prefix": self.prefix}
        settings = {**server_settings(), **own, **settings}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CI_")},
            "PYTHONPATH": str(ROOT),
            **{f"CI_{name.upper()}": str(value) for name, value in settings.items()},
            **(environment or {}),
        }
        self.settings = Settings(**settings)
        self.http = self._client()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self):
        return self.settings.data_path

    # ------------------------------------------------------------------ the process

    def start(self, *options, stdout=None, stderr=None):
        """Start, and wait until it serves; on another port when this one was taken meanwhile."""
        for _ in range(5):
            self._spawn(options, stdout, stderr)
            self.until(self._serves_or_ended, what="the server's start", seconds=START_SECONDS)
            if self.process.poll() is None:
                return self
            if "address already in use" not in self.log_tail():
                break
            self.port = free_port()
        return pytest.fail(f"the server did not start\n{self.log_tail()}")

    def ready(self):
        """Wait until jobs would run."""
        self.until(self._is_ready, what="/ready 200")
        return self

    def _is_ready(self):
        """A worker that was killed takes the connections with it that it had."""
        with suppress(httpx.TransportError):
            return self.http.get("/ready").status_code == 200
        return False

    def _spawn(self, options, stdout, stderr):
        self._started_at = self.log_path.stat().st_size if self.log_path.exists() else 0
        where = ("--host", "127.0.0.1", "--port", str(self.port))
        command = [self._python, "-m", *self._module, *where, *options]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=stderr or log,
                start_new_session=True,
            )
        self.http.close()
        self.http = self._client(base_url=self.url)
        self._announces = stderr is None

    def _client(self, **options):
        """One that uses no idle connection which the server, after 5 s, is about to close."""
        limits = httpx.Limits(keepalive_expiry=2)
        return httpx.Client(timeout=60, trust_env=False, limits=limits, **options)

    def _serves_or_ended(self):
        if self.process.poll() is not None:
            return True
        if self._announces and f"Uvicorn running on {self.url}" not in self._log_since_start():
            return False  # whoever answers at the port is not ours
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def spawn_controller(self):
        """`python -m ci_controller` on the same database; ended with the server."""
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                [self._python, "-m", "ci_controller"],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._others.append(process)
        return process

    def terminate(self, seconds=STOP_SECONDS):
        """SIGTERM, and wait for the end; the exit code."""
        self.process.terminate()
        return self.wait_for_end(seconds)

    def wait_for_end(self, seconds=STOP_SECONDS):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return pytest.fail(f"the server did not end in {seconds} s\n{self.log_tail()}")

    def kill(self):
        """SIGKILL to the server and the processes it started, as a power cut would."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def close(self):
        """End everything and leave nothing, on the engine or outside our directory."""
        for process in self._others:
            process.kill()
            process.wait()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):  # a test of its own is about this
                self.process.wait(STOP_SECONDS)
        self.kill()
        self.http.close()
        if (instance := self.instance_id()) is not None:
            remove_everything_of(instance)
            shutil.rmtree(Path(tempfile.gettempdir(), f"ci-runner-{instance}"), ignore_errors=True)

    # ------------------------------------------------------------------ looking

    def instance_id(self):
        """What its containers and images are labelled with; None before it had a database."""
        if not self.database.exists():
            return None
        with closing(sqlite3.connect(self.database)) as connection:
            try:
                return connection.execute("SELECT instance_id FROM instance").fetchone()[0]
            except sqlite3.DatabaseError:
                return None

    def rows(self):
        """How many jobs the database has."""
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute("SELECT count(*) FROM jobs").fetchone()[0]

    def execute(self, sql, *parameters):
        """Change the database behind the server's back, or look at it; the rows."""
        with closing(sqlite3.connect(self.database, timeout=30)) as connection, connection:
            return connection.execute(sql, parameters).fetchall()

    def stored_files(self):
        """Uploads on disk: finished ones and those on their way."""
        places = (self.data / "staging", self.data / "packages")
        found = (path for place in places for path in place.rglob("*"))
        return sorted(path.name for path in found if path.is_file())

    def _log_since_start(self):
        with self.log_path.open("rb") as log:
            log.seek(self._started_at)
            return log.read().decode(errors="replace")

    def log_tail(self, lines=40):
        """The end of what the server said, without the requests it served."""
        if not self.log_path.exists():
            return "(the server has no log)"
        said = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join([line for line in said if " uvicorn.access " not in line][-lines:])

    def until(self, look, good=bool, what="the condition", seconds=60):
        """`until_sync`, and the server's own words when it fails."""
        try:
            return until_sync(look, good, what, seconds)
        except pytest.fail.Exception as failure:
            raise pytest.fail.Exception(f"{failure}\n{self.log_tail()}") from None

    def admin(self, *arguments, value=""):
        """`ci-admin` on this server's instance, with `value` on stdin; what it did."""
        return subprocess.run(
            [self._python, "-m", "ci_admin", *map(str, arguments)],
            cwd=self.directory,
            env=self.environment,
            input=value,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    # ------------------------------------------------------------------ jobs

    def form(self, project, command=None, job=None):
        """The parts of a submission, as keyword arguments for httpx."""
        parts = {"file": ("project.zip", project, "application/zip")}
        spec = {"command": command, "job": job}
        return {"files": parts, "data": {"spec": json.dumps(spec)} if command or job else None}

    def submit(self, project, command=None, job=None):
        """Submit a zip; the job's id."""
        answer = self.http.post("/submit-async", **self.form(project, command, job))
        assert answer.status_code == 200, answer.text
        return answer.json()["job_id"]

    def job(self, job_id):
        answer = self.http.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_status(self, job_id, *statuses, seconds=120):
        """Wait until the job has one of the statuses; the job."""
        what = f"job {job_id} {' or '.join(statuses)}"
        return self.until(
            lambda: self.job(job_id), lambda job: job["status"] in statuses, what, seconds
        )

    def finished(self, job_id, seconds=120):
        """Wait for the job's end; the job."""
        return self.wait_status(job_id, *_FINISHED, seconds=seconds)

    def log(self, job_id):
        """The raw log, so far."""
        answer = self.http.get(f"/jobs/{job_id}/logs")
        assert answer.status_code == 200, answer.text
        return answer.content

    def log_has(self, job_id, content, seconds=120):
        """Wait until the log holds these bytes."""
        return self.until(
            lambda: self.log(job_id), lambda log: content in log, f"{content!r} in the log", seconds
        )

    def under_way(self, job_id, content):
        """Wait until the job is known to run, and its log holds these bytes."""
        self.wait_status(job_id, "running")
        self.log_has(job_id, content)

    def run(self, project, command=None, job=None):
        """Submit and wait: the finished job, and its log."""
        job = self.finished(self.submit(project, command, job))
        return job, self.log(job["job_id"])
