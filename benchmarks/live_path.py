"""How fast the live path is, as ratios against plain Docker on the same image.

Run by hand, on a quiet machine, from the project's environment:

    .venv/bin/python benchmarks/live_path.py [--runs 7] [--only NAME ...]

It starts a server of its own on loopback, with a database in a temporary directory, and takes
each pair in turn (ours, Docker's, ours, ...), so that a machine that drifts drifts under both.
Figures are medians; lower ratios are better except for the replay.
"""

import argparse
import contextlib
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

IMAGE = os.environ.get("CI_IMAGE", "ci-runner:latest")
LINES, LINE = 500_000, "x" * 69
SERVER = os.environ.get("BENCH_SERVER", "ci_server").split()
"""What is measured; `BENCH_SERVER="uvicorn ci_server.app:app"` is without our own connections."""

FLOOD = f"yes {LINE} | head -n {LINES}"
READERS, READER_LINES = 300, 20_000


def main() -> None:
    """Run the pairs asked for and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", nargs="*", choices=sorted(PAIRS), default=sorted(PAIRS))
    options = parser.parse_args()
    print(f"{'what':<44}{'ours':>10}{'docker':>10}{'ratio':>8}   bar")
    with running_server() as server:
        for name in options.only:
            PAIRS[name](server, options.runs)


def pair(
    what: str, runs: int, ours: Callable[[], float], theirs: Callable[[], float], bar: str
) -> None:
    """Take the two in turn and print medians and the median ratio."""
    ours(), theirs()  # a run of each to warm up
    times = [(ours(), theirs()) for _ in range(runs)]
    mine, other = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(a / b for a, b in times)
    print(f"{what:<44}{mine:>9.3f}s{other:>9.3f}s{ratio:>8.2f}   {bar}", flush=True)


# ------------------------------------------------------------------- what is measured


def first_line(server: str, runs: int) -> None:
    """From the request to the first byte of the job's output."""
    archive = package("echo first; sleep 0.2")

    def ours() -> float:
        begin = time.perf_counter()
        with open_stream(server, archive) as lines:
            for line in lines:
                if '"type":"log"' in line:
                    return time.perf_counter() - begin
        raise AssertionError("no log line came")

    pair("submit (HTTP) to first line", runs, ours, docker_first_line, "<= 1.5")
    pair("ci submit to first line", runs, lambda: cli_first_line(server), docker_first_line, "")


def cli_first_line(server: str) -> float:
    """The same through the command, with the start of its interpreter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "file.txt").write_text("x")
        return first_line_of(
            [*CLI, "submit", "--server", server, "--path", directory, "--", "echo", "first"]
        )


def docker_first_line() -> float:
    return first_line_of(["docker", "run", "--rm", IMAGE, "sh", "-c", "echo first; sleep 0.2"])


def first_line_of(command: list[str]) -> float:
    """Time until a command writes its first line to stdout."""
    begin = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took = time.perf_counter() - begin
        process.wait()
    assert line == "first\n", line
    return took


def trivial_job(server: str, runs: int) -> None:
    """From the request to the result, for a job that does nothing."""
    archive = package("true")

    def ours() -> float:
        begin = time.perf_counter()
        with open_stream(server, archive) as lines:
            assert any('"type":"complete"' in line for line in lines)
        return time.perf_counter() - begin

    def theirs() -> float:
        begin = time.perf_counter()
        name = f"bench-{os.getpid()}"
        for step in (["create", "--name", name, IMAGE, "true"], ["start", name], ["wait", name]):
            subprocess.run(["docker", *step], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["docker", "rm", name], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin

    pair("trivial job, submit to result", runs, ours, theirs, "<= 1.5")


def live_flood(server: str, runs: int) -> None:
    """A job that writes as fast as it can, watched from its start."""
    archive = package(FLOOD)

    def through(watch: Callable[[str], list[str]]) -> float:
        begin = time.perf_counter()
        job_id = submit(server, archive)
        count = count_bytes(watch(job_id))
        took = time.perf_counter() - begin
        assert count == LINES * (len(LINE) + 1), count
        return took

    def theirs() -> float:
        begin = time.perf_counter()
        assert count_bytes(["docker", "run", "--rm", IMAGE, "sh", "-c", FLOOD]) == LINES * 70
        return time.perf_counter() - begin

    def wait(job_id: str) -> list[str]:
        return [*CLI, "wait", "--all", "--server", server, job_id]

    def curl(job_id: str) -> list[str]:
        return ["curl", "-sN", f"{server}/jobs/{job_id}/logs?follow=true"]

    pair(f"{LINES:,} lines live, ci wait", runs, lambda: through(wait), theirs, "<= 0.6")
    pair(f"{LINES:,} lines live, curl -N", runs, lambda: through(curl), theirs, "<= 0.4")


def replay(server: str, runs: int) -> None:
    """The same log again, when the job is over."""
    job_id = submit(server, package(FLOOD))
    count_bytes(["curl", "-sN", f"{server}/jobs/{job_id}/logs?follow=true"])
    name = f"bench-logs-{os.getpid()}"
    subprocess.run(
        ["docker", "run", "--name", name, IMAGE, "sh", "-c", FLOOD],
        check=True,
        stdout=subprocess.DEVNULL,
    )

    def timed(command: list[str]) -> float:
        begin = time.perf_counter()
        assert count_bytes(command) == LINES * 70
        return time.perf_counter() - begin

    def theirs() -> float:
        return timed(["docker", "logs", name])

    try:
        curl = ["curl", "-sN", f"{server}/jobs/{job_id}/logs"]
        pair("replay, curl", runs, lambda: timed(curl), theirs, "<= 0.2")
        wait = [*CLI, "wait", "--all", "--server", server, job_id]
        pair("replay, ci wait --all", runs, lambda: timed(wait), theirs, "<= 0.2")
    finally:
        subprocess.run(["docker", "rm", name], check=True, stdout=subprocess.DEVNULL)


def many_readers(server: str, runs: int) -> None:
    """One job, many watchers, every line to each; Docker's side is a single reader."""
    command = f"yes {LINE} | head -n {READER_LINES}"
    archive = package(f"sleep 1; {command}")

    def ours() -> float:
        begin = time.perf_counter()
        job_id = submit(server, archive)
        url = f"{server}/jobs/{job_id}/logs?follow=true"
        # One process, many connections; it says how many bytes each of them got.
        counter = subprocess.run(
            [sys.executable, "-c", COUNT_READERS, url, str(READERS)],
            check=True,
            capture_output=True,
            text=True,
        )
        counts = json.loads(counter.stdout)
        assert counts == [READER_LINES * 70] * READERS, sorted(set(counts))
        return time.perf_counter() - begin

    def theirs() -> float:
        begin = time.perf_counter()
        assert count_bytes(["docker", "run", "--rm", IMAGE, "sh", "-c", f"sleep 1; {command}"])
        return time.perf_counter() - begin

    pair(f"{READERS} readers of {READER_LINES:,} lines", runs, ours, theirs, "")


COUNT_READERS = """
import asyncio, json, sys
from urllib.parse import urlsplit
url = urlsplit(sys.argv[1])
async def read():
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(f"GET {url.path}?{url.query} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n".encode())
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    assert b" 200 " in head.split(b"\\r\\n")[0], head
    count = 0
    while size := int(await reader.readline(), 16):  # chunked transfer coding
        await reader.readexactly(size + 2)
        count += size
    writer.close()
    return count
async def main():
    print(json.dumps(await asyncio.gather(*(read() for _ in range(int(sys.argv[2]))))))
asyncio.run(main())
"""

PAIRS: dict[str, Callable[[str, int], None]] = {
    "first-line": first_line,
    "trivial-job": trivial_job,
    "live-flood": live_flood,
    "replay": replay,
    "readers": many_readers,
}

# ------------------------------------------------------------------- how it is measured

CLI = [sys.executable, "-m", "ci_client.cli"]
HTTP = httpx.Client(verify=False, timeout=60)  # plain HTTP on loopback


def package(command: str) -> bytes:
    """A zip of a project whose job is a shell command."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("ci.toml", f"[jobs.test]\ncommand = {json.dumps(command)}\n")
    return content.getvalue()


def submit(server: str, archive: bytes) -> str:
    response = HTTP.post(f"{server}/submit-async", files={"file": ("p.zip", archive)})
    response.raise_for_status()
    return str(response.json()["job_id"])


@contextlib.contextmanager
def open_stream(server: str, archive: bytes) -> Iterator[Iterator[str]]:
    with HTTP.stream("POST", f"{server}/submit", files={"file": ("p.zip", archive)}) as response:
        response.raise_for_status()
        yield response.iter_lines()


def count_bytes(command: list[str]) -> int:
    """Bytes a command writes to stdout, read the way `| cat` would."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as process:
        assert process.stdout is not None
        count = 0
        while chunk := process.stdout.read(1 << 17):
            count += len(chunk)
    assert process.returncode == 0, (command, process.returncode)
    return count


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """A server with a new database, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", *SERVER, "--port", str(port)],
            env={**os.environ, "CI_DB_PATH": f"{directory}/bench.db", "CI_CONTAINER_PREFIX": "b-"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stop = threading.Timer(3600, process.kill)  # never for ever
        stop.start()
        try:
            server = f"http://127.0.0.1:{port}"
            wait_until_ready(server)
            yield server
        finally:
            stop.cancel()
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def wait_until_ready(server: str) -> None:
    deadline = time.monotonic() + 30
    answer = "no answer"
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            response = httpx.get(f"{server}/ready")
            if response.status_code == 200:
                return
            answer = response.text
        time.sleep(0.05)
    raise SystemExit(f"the server is not ready: {answer}")


if __name__ == "__main__":
    main()
