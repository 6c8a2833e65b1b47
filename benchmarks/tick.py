"""What the controller costs when nothing is to do, with and without a long history.

Run by hand, on a quiet machine, from the project's environment:

    .venv/bin/python benchmarks/tick.py [--rows 100000] [--ticks 50] [--seconds 10]

It makes databases of its own in a temporary directory. A tick is one `run_once` of a controller
whose engine has no workloads; a look is one `run_once` of a retention that has rules, but nothing
to delete. The idle CPU is that of a whole server process, in percent of one core.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from ci_common.job import Job, JobSpec, JobStatus, Package, utc_now
from ci_common.settings import Settings
from ci_controller.assembly import ControllerStores, build_controller
from ci_controller.housekeeping.retention import Retention, RetentionPolicy
from ci_controller.reconcile.controller import new_holder
from ci_persistence.database.database import Database
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.data_directory import no_check
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.doorbell import SocketDoorbell
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.job_rows import COLUMNS, to_row
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.transitions import SqliteJobTransitions

BAR_MILLISECONDS = 20
BAR_PERCENT = 1


def main() -> None:
    """Measure with no history and with a long one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--ticks", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    for rows in (0, options.rows):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "jobs.db"
            asyncio.run(make_history(path, rows))
            tick, look = asyncio.run(measure(path, options.ticks))
            bar = f"bar: {BAR_MILLISECONDS} ms"
            print(f"{rows:>7} finished jobs: tick {tick:.2f} ms, look {look:.2f} ms ({bar})")
            with server(path) as process:
                percent = idle_percent(process, options.seconds)
            print(f"{rows:>7} finished jobs: idle server {percent:.2f} % (bar: {BAR_PERCENT} %)")


async def make_history(path: Path, rows: int) -> None:
    """A database with so many finished jobs, none of which has files."""
    database = Database(path)
    await database.open()
    await database.close()
    template = Job("", "t", "u", JobSpec(("true",)), Package("", 1), JobStatus.QUEUED, utc_now())
    values = to_row(template)[1:]
    marks = ", ".join("?" * (len(values) + 1))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            f"INSERT INTO jobs ({COLUMNS}) VALUES ({marks})",
            ((str(uuid.uuid4()), *values) for _ in range(rows)),
        )
        connection.execute(
            "UPDATE jobs SET status = 'completed', reason = 'exit', message = 'exited with code 0',"
            " exit_code = 0, log_size = 1000, log_stored = 200, artifacts_size = 50, "
            "started_at = created_at, ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', "
            "'-' || seq || ' seconds')"
        )


class NoWorkloads:
    """An engine that answers at once, and has nothing."""

    async def list_workloads(self) -> list[Any]:
        return []

    async def tidy(self) -> None:
        return None


async def measure(path: Path, ticks: int) -> tuple[float, float]:
    """Milliseconds of a tick, and of a look, at the median."""
    database, signals, holder = Database(path), ProcessJobSignals(), new_holder()
    await database.open()
    settings = Settings(db_path=path)
    executor: Any = NoWorkloads()
    rows = SqliteJobRetention(database, holder)
    logs = FileLogStore(settings.data_path, signals)
    artifacts = FileArtifactStore(settings.data_path)
    packages = FilePackageStore(settings.data_path, 0)
    stores = ControllerStores(
        holder=holder,
        transitions=SqliteJobTransitions(database, signals, holder),
        retention=rows,
        lease=SqliteControllerLease(database),
        logs=logs,
        packages=packages,
        artifacts=artifacts,
        bell=SocketDoorbell(settings.data_path),
        secrets=FileJobSecrets(settings.data_path, SecretKeys(settings.data_path, None)),
        check_files=no_check,
    )
    controller = build_controller(settings, executor, stores)
    policy = RetentionPolicy(days=9999, jobs=1 << 40, artifact_days=9999, max_bytes=1 << 60)

    async def look() -> None:
        # A new one, because one that has found nothing rests.
        await Retention(
            rows, logs, artifacts, packages, policy, lambda: 1 << 40, utc_now
        ).run_once()

    try:
        return await median(controller.run_once, ticks), await median(look, ticks)
    finally:
        await controller.close()
        await database.close()


async def median(work: Callable[[], Awaitable[None]], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


@contextlib.contextmanager
def server(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "CI_DB_PATH": str(path), "CI_EXECUTOR": "process"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_server", "--port", str(port)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/ready", process)
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.1)
    sys.exit("the server did not become ready")


def idle_percent(process: "subprocess.Popen[bytes]", seconds: float) -> float:
    time.sleep(3)  # what a start has to do once
    before, began = cpu_seconds(process.pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(process.pid) - before) / (time.monotonic() - began) * 100


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads: fields 14 and 15 of proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
