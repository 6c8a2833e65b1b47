"""A soak: many jobs of random shapes, each with several readers, and nothing may be amiss.

`scripts/soak` runs it for as long as one likes, `tests/faults/test_soak.py` a small one.
"""

import hashlib
import math
import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.engine import containers_of
from support.live_server import LiveServer
from support.nothing_left import assert_nothing_left, half_done
from support.soak_jobs import SoakJob
from support.soak_readers import LATE, LIVE, STALLING, Link
from support.soak_shapes import SHAPES
from support.waiting import until_sync

JOB_SECONDS = 180.0
"""For a job and its readers, on a busy machine; only waited out when something is wrong."""

RSS_SLACK_MB = 48
"""The level of a server that has served everything once still moves by this much."""

DESCRIPTOR_SLACK = 8
"""Of pools that grow with how much happens at once: connections of the engine and the database."""

_SEND_TIMEOUT_SECONDS = 8
"""Some readers take nothing for longer, and are cut off."""
_COMPRESS_SECONDS = 3
"""Late readers meet logs that are being compressed, or are by now."""
_PATIENCE_SECONDS = 120.0
_PAUSED_SECONDS = (2.0, 9.0)
_QUIET_SECONDS = 0.5


@dataclass
class Options:
    """What to do."""

    jobs: int = 200
    seed: str = "1"
    concurrency: int = 4
    keep_going: bool = False
    restart_every: float | None = None
    """Seconds between kills of the server, on average."""
    only: tuple = ()
    """Shapes; all, when there are none."""
    numbers: tuple = ()
    """Numbers of jobs; all, when there are none."""


@dataclass(frozen=True)
class Level:
    """What the server held when nothing was to do."""

    rss_mb: float
    descriptors: int
    threads: int

    def __str__(self):
        return f"{self.rss_mb:.0f} MiB, {self.descriptors} descriptors, {self.threads} threads"


@dataclass
class Report:
    """What came of it."""

    jobs: int = 0
    readers: Counter = field(default_factory=Counter)
    drops: int = 0
    cuts: int = 0
    bytes_written: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    restarts: Counter = field(default_factory=Counter)
    levels: list = field(default_factory=list)
    """At the end of each round."""
    failures: list = field(default_factory=list)

    def table(self):
        """A summary, as lines of text."""
        started = ", ".join(f"{how} {count}" for how, count in sorted(self.restarts.items()))
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.readers.items()))
        rows = {
            "jobs": self.jobs,
            "readers": f"{self.readers.total()} ({kinds})",
            "connections": f"{self.drops} dropped by readers, {self.cuts} cut off or refused",
            "written, read": f"{self.bytes_written / 1e6:.0f} MB, {self.bytes_read / 1e6:.0f} MB",
            "duration": f"{self.seconds:.0f} s",
            "server stopped": started or "never",
            "server, after warm-up": self.warm or "-",
            "server, at the end": self.levels[-1] if self.levels else "-",
            "failures": len(self.failures),
        }
        return "\n".join(f"{name:<22} {value}" for name, value in rows.items())

    @property
    def warm(self):
        """The level after the first quarter of the rounds, and the first one in any case."""
        return self.levels[(len(self.levels) - 1) // 4] if self.levels else None


class Soak:
    """One soak of one server, which is started and ready."""

    def __init__(self, server, options, say):
        self._server = server
        self._options = options
        self._say = say
        self._lock = threading.Lock()
        self._digests = {}
        self._stop = threading.Event()
        self._link = None
        self._spoken = time.monotonic()
        self.report = Report()
        self._restarts = Restarts(server, options, self.report.restarts)

    def run(self):
        """Run all rounds; what came of them."""
        started = time.monotonic()
        try:
            with self._failing("a restart of the server"), self._restarts:
                for jobs in rounds(self._options):
                    self._round(jobs)
                    if self._stop.is_set():
                        break
            self._end()
        finally:
            self._stop.set()
            self.report.seconds = time.monotonic() - started
        return self.report

    @property
    def _patience(self):
        return 0.0 if self._options.restart_every is None else _PATIENCE_SECONDS

    # ------------------------------------------------------------------ jobs

    def _round(self, jobs):
        with (
            Link(self._server.url, self._patience) as self._link,
            ThreadPoolExecutor(self._options.concurrency) as pool,
        ):
            list(pool.map(self._guarded, jobs))
        if not self._stop.is_set():
            with self._failing("at the end of a round"), self._restarts.held:
                self.report.levels.append(self._level())
            self._progress(now=True)

    def _guarded(self, job):
        if self._stop.is_set():
            return
        with self._failing(str(job)):
            self._job(job)
        self._progress()

    def _job(self, job):
        dice, link = job.dice("readers"), self._link
        job_id = self._submit(job)
        kinds = dice.sample(LIVE, dice.randint(2, 4)) + dice.choices(STALLING, k=dice.randint(0, 1))
        live = [kind(link, job_id, job.dice(f"reader {n}")) for n, kind in enumerate(kinds)]
        for reader in live:
            time.sleep(dice.choice([0, 0, 0.1, 0.3]))  # the random point
            reader.start()
        self._join(live)
        row, log = link.job(job_id), link.log(job_id)
        late = [kind(link, job_id, job.dice(str(kind))) for kind in dice.sample(LATE, 2)]
        for reader in late:
            reader.start()
            self._join([reader])
        self._count(job_id, log, live + late)
        with self._failing(f"{job}, {job_id}"):
            job.check(row, log)
        for reader in live + late:
            with self._failing(f"{job}, {job_id}: {reader}"):
                reader.check(row, log)

    def _submit(self, job):
        link, form = self._link, job.form
        answer = link.patiently(lambda: link.http.post("/submit-async", **form))
        assert answer.status_code == 200, answer.text
        return answer.json()["job_id"]

    def _join(self, readers):
        deadline = time.monotonic() + JOB_SECONDS
        for reader in readers:
            reader.join(max(deadline - time.monotonic(), 0))
            if reader.is_alive():
                row = self._link.job(reader.job_id)
                have = len(reader.content)
                raise AssertionError(f"{reader} has {have} bytes and no end of {row}")

    def _count(self, job_id, log, readers):
        with self._lock:
            self._digests[job_id] = hashlib.sha256(log).digest()
            self.report.jobs += 1
            self.report.bytes_written += len(log)
            for reader in readers:
                self.report.readers[type(reader).__name__] += 1
                self.report.bytes_read += len(reader.content)
                self.report.drops += reader.drops
                self.report.cuts += reader.cuts

    # ------------------------------------------------------------------ what is left

    def _end(self):
        """Once more all logs, most of which are compressed by now; then what is left."""
        with Link(self._server.url) as link:
            for job_id, digest in self._digests.items():
                with self._failing(f"log of {job_id}, later"):
                    assert hashlib.sha256(link.log(job_id)).digest() == digest, "it has changed"
        restarted = self._options.restart_every is not None
        with self._failing("at the end"):
            self.report.levels.append(self._level())
            check_levels(self.report, restarted)
            assert restarted or half_done(self._server) == []
        with self._failing("at the end"):
            assert_nothing_left(self._server)

    def _level(self):
        """What the server holds once it has nothing to do, and no connections of ours."""
        server = self._server
        server.until(lambda: containers_of(server), lambda found: not found, "no containers")
        since = [time.monotonic(), None]

        def still():
            seen = level_of(server.process.pid)
            if (seen.descriptors, seen.threads) != since[1]:
                since[:] = time.monotonic(), (seen.descriptors, seen.threads)
            return seen, time.monotonic() - since[0]

        seen, _ = until_sync(still, lambda found: found[1] > _QUIET_SECONDS, "a server at rest")
        return seen

    # ------------------------------------------------------------------ telling

    @contextmanager
    def _failing(self, what):
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - this is the result
            self._fail(what, error)

    def _fail(self, what, error):
        with self._lock:
            self.report.failures.append(f"{what}: {_told(error)}")
            self._say(f"FAILED {self.report.failures[-1]}")
        if not self._options.keep_going:
            self._stop.set()

    def _progress(self, now=False):
        with self._lock:
            if not now and time.monotonic() < self._spoken + 10:
                return
            self._spoken = time.monotonic()
            report = self.report
        level = f"; at rest {report.levels[-1]}" if now and report.levels else ""
        failed = f", {len(report.failures)} failures" if report.failures else ""
        readers, written = report.readers.total(), report.bytes_written / 1e6
        told = f"{report.jobs}/{self._options.jobs} jobs, {readers} readers, {written:.0f} MB"
        self._say(told + failed + level)


class Restarts:
    """Kills, ends or pauses the server at random moments, and starts it again; where that is
    asked for, and for as long as this is entered. While `held` is held the server is left alone.
    """

    def __init__(self, server, options, count):
        self._server = server
        self._every = options.restart_every
        self._dice = random.Random(f"{options.seed}:restarts")
        self._count = count
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="restarts", daemon=True)
        self._error = None
        self.held = threading.Lock()

    def __enter__(self):
        if self._every is not None:
            self._thread.start()

    def __exit__(self, *error):
        self._ended.set()
        if self._every is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self):
        try:
            while not self._ended.wait(self._every * self._dice.uniform(0.5, 1.5)):
                how = self._dice.choice(["kill -9", "SIGTERM", "SIGSTOP"])
                with self.held:
                    self._stop_and_start(how)
                self._count[how] += 1
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - raised at the end
            self._error = error

    def _stop_and_start(self, how):
        if how == "SIGSTOP":
            self._server.process.send_signal(signal.SIGSTOP)
            time.sleep(self._dice.uniform(*_PAUSED_SECONDS))  # the random point
            self._server.process.send_signal(signal.SIGCONT)
            return
        if how == "kill -9":
            self._server.kill()
        else:
            self._server.terminate()
        time.sleep(self._dice.uniform(0, 0.5))  # the random point
        self._server.start()


def rounds(options):
    """Lists of jobs: each shape once, or each of a few as often as it takes, in random order."""
    shapes = sorted(options.only or SHAPES)
    shapes *= math.ceil(len(SHAPES) / len(shapes))
    dice = random.Random(f"{options.seed}:rounds")
    for first in range(0, options.jobs, len(shapes)):
        deck = dice.sample(shapes, min(len(shapes), options.jobs - first))
        jobs = [SoakJob(n, shape, f"{options.seed}.{n}") for n, shape in enumerate(deck, first)]
        wanted = [job for job in jobs if not options.numbers or job.number in options.numbers]
        if wanted:
            yield wanted


def level_of(pid):
    """What a process holds now."""
    status = Path(f"/proc/{pid}/status").read_text()
    facts = dict(line.split(":", 1) for line in status.splitlines())
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return Level(int(facts["VmRSS"].split()[0]) / 1024, descriptors, int(facts["Threads"]))


def check_levels(report, restarted=False):
    """Whether the server holds no more at the end than after the first rounds. The memory of one
    that was started in between says nothing.
    """
    warm, last = report.warm, report.levels[-1]
    assert restarted or last.rss_mb <= warm.rss_mb + RSS_SLACK_MB, (
        f"memory grew from {warm} to {last}"
    )
    assert last.descriptors <= warm.descriptors + DESCRIPTOR_SLACK, f"from {warm} to {last}"


def _told(error):
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


@contextmanager
def soaked_server(directory, options):
    """A server of the soak's own, on loopback, with all it has below the directory."""
    settings = {
        "max_concurrent_jobs": options.concurrency,
        "send_timeout_seconds": _SEND_TIMEOUT_SECONDS,
        "log_compress_seconds": _COMPRESS_SECONDS,
    }
    with LiveServer(Path(directory), hardened=True, **settings) as server:
        temporary = server.directory / "tmp"
        temporary.mkdir()
        server.environment["TMPDIR"] = str(temporary)
        yield server.start().ready()


def soak(directory, options, say=print):
    """Run a soak with a server of its own in this directory; what came of it."""
    with soaked_server(directory, options) as server:
        return Soak(server, options, say).run()
