"""What a project of very many files costs: to check, to launch, and to the others meanwhile.

Run by hand, on a quiet machine, from the project's environment:

    .venv/bin/python benchmarks/many_files.py [--files 100000] [--at-once 4] [--executor docker]

It starts a server of its own on loopback, with a database in a temporary directory. With Docker the
launch is compared with the engine's own `put_archive` of the same tar, read from memory. While the
launches at once are under way, a job that was started before writes a line every 20 ms, and the
longest pause between two of them is measured where they are received, and the longest answer of
`/health`.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import httpx

from ci_controller.executors.docker.project_tar import project_tar
from ci_controller.executors.shared.project_archive import ProjectArchive
from ci_server.submission.package_check import PackageLimits, check_package

IMAGE = os.environ.get("CI_IMAGE", "ci-runner:latest")
LIMITS = PackageLimits(100_000, 2 << 30, 200)
TICKER = ["sh", "-c", "while :; do echo tick; sleep 0.02; done"]


def main() -> None:
    """Measure one launch, and some at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--executor", choices=("docker", "process"), default="docker")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        package = make_package(Path(directory) / "many.zip", options.files, ["true"])
        print(f"{options.files} files, zip of {package.stat().st_size / 1e6:.1f} MB")
        timed("the server's check", lambda: check_package(package, LIMITS))
        timed("making the tar", lambda: sum(map(len, tar_of(package))))
        with Server(Path(directory), options.executor, options.at_once + 1) as server:
            ours = measure_launches(server, package, 1)
            if options.executor == "docker":
                bare = put_archive(list(tar_of(package)))
                print(f"put_archive of that tar: {bare:.2f} s; ratio {ours / bare:.2f} (bar: 1.5)")
            measure_launches(server, package, options.at_once)
            measure_cancel(server, package)


def measure_launches(server: "Server", package: Path, count: int) -> float:
    """Seconds from being queued to running, at most; prints what others had of it meanwhile."""
    ticker = server.submit(make_package(package.with_name("ticker.zip"), 2, TICKER))
    before = server.memory("VmRSS")
    server.forget_peak()
    with (
        Pauses(server.ticks(ticker)) as ticks,
        Pauses(server.answers()) as answers,
        ThreadPoolExecutor(count) as threads,
    ):
        began = time.perf_counter()
        job_ids = list(threads.map(server.submit, [package] * count))
        taken = time.perf_counter() - began
        seconds = max(threads.map(server.seconds_to_launch, job_ids))
    server.cancel(ticker)
    grown = (server.memory("VmHWM") - before) / 1e6
    print(
        f"{count} at once: accepted in {taken:.2f} s, launched in {seconds:.2f} s; the server grew "
        f"by {grown:.0f} MB; longest pause of another's log {ticks.longest * 1000:.0f} ms, "
        f"of /health {answers.longest * 1000:.0f} ms",
        flush=True,
    )
    return seconds


def measure_cancel(server: "Server", package: Path) -> None:
    """Seconds from the wish to the result, in the midst of the launch."""
    job_id = server.submit(package)
    server.wait(job_id, "initializing")
    time.sleep(2)
    began = time.perf_counter()
    server.cancel(job_id)
    print(f"cancelled in the midst after {time.perf_counter() - began:.2f} s")


def make_package(path: Path, files: int, command: list[str]) -> Path:
    """Small files of source text, a hundred in a directory, and the command."""
    chance = random.Random(1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ci.toml", f"[jobs.test]\ncommand = {json.dumps(command)}\n")
        for number in range(files - 1):
            name = f"src/package_{number // 100:04}/module_{number:06}.py"
            archive.writestr(name, b"value = %d\n" % number * chance.randrange(1, 20))
    return path


def tar_of(package: Path) -> Iterator[bytes]:
    with ProjectArchive(package.open("rb")) as archive:
        yield from project_tar(archive)


def timed(what: str, work: Callable[[], object]) -> None:
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    taken, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    print(f"{what}: {taken:.2f} s ({cpu:.2f} s of CPU)", flush=True)


def put_archive(tar: list[bytes]) -> float:
    """Seconds the engine takes for it, with nothing to wait for."""
    client = docker.from_env(timeout=600).api
    name = client.create_container(IMAGE, ["true"])["Id"]
    try:
        began = time.perf_counter()
        client.put_archive(name, "/", iter(tar))
        return time.perf_counter() - began
    finally:
        client.remove_container(name, force=True)
        client.close()


class Pauses:
    """The longest time between two items, of those taken on a thread while it is entered."""

    def __init__(self, items: Iterator[object]) -> None:
        self.longest = 0.0
        self._items = items
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._take)

    def __enter__(self) -> "Pauses":
        next(self._items)  # so that what comes before the first one does not count
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _take(self) -> None:
        last = time.perf_counter()
        while not self._end.is_set():
            next(self._items)
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last), now


class Server:
    """A server with a new database."""

    def __init__(self, directory: Path, executor: str, jobs: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._http = httpx.Client(base_url=self._address, timeout=600)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ci_server", "--port", self._address.rpartition(":")[2]],
            env={
                **os.environ,
                "CI_DB_PATH": str(directory / "bench.db"),
                "CI_EXECUTOR": executor,
                "CI_CONTAINER_PREFIX": "b-",
                "CI_MAX_CONCURRENT_JOBS": str(jobs),
            },
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> "Server":
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if self._http.get("/ready").status_code == 200:
                    return self
            time.sleep(0.1)
        sys.exit("the server did not become ready")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def memory(self, field: str) -> int:
        """Bytes, of a line of /proc/PID/status."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) << 10

    def forget_peak(self) -> None:
        """Let VmHWM begin anew (proc(5), clear_refs)."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def submit(self, package: Path) -> str:
        with package.open("rb") as file:
            answer = self._http.post("/submit-async", files={"file": file})
        answer.raise_for_status()
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self._http.get(f"/jobs/{job_id}").json()
        return job

    def wait(self, job_id: str, *statuses: str) -> None:
        while self.job(job_id)["status"] not in statuses:
            time.sleep(0.05)

    def seconds_to_launch(self, job_id: str) -> float:
        began = time.perf_counter()
        self.wait(job_id, "running", "completed")
        return time.perf_counter() - began

    def cancel(self, job_id: str) -> None:
        self._http.delete(f"/jobs/{job_id}").raise_for_status()
        self.wait(job_id, "cancelled")

    def ticks(self, job_id: str) -> Iterator[str]:
        with self._http.stream("GET", f"/jobs/{job_id}/stream") as response:
            for line in response.iter_lines():
                if '"log"' in line:
                    yield line
        sys.exit(f"the job that writes ended: {self.job(job_id)}")

    def answers(self) -> Iterator[int]:
        while True:
            yield self._http.get("/health").status_code
            time.sleep(0.02)


if __name__ == "__main__":
    main()
