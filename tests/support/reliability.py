"""The table of faults: collected from the tests that ran, written to docs/reliability.md.

A run of a fault is one test with one seed. With `--fault-state FILE` each is appended to a file,
a line of JSON for each, so that runs of many days and of several machines add up to one table.
"""

import json
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from support.live_server import ROOT

PAGE = ROOT / "docs" / "reliability.md"
_PROPERTY = "fault"
_SEED = re.compile(r"\bseed\d+\b-?")
_TAIL_LINES = 200
"""Of each part of a failed test's output that is kept."""

_HEAD = """\
# Fault injection

This page is written by `scripts/faults --write` from the fault runs recorded so far, or from one
run of the tests (`scripts/test tests/faults --write-reliability`); do not edit it. The tests run
real processes and a real container engine. Each run injects the fault at different random points,
derived from its seed: the number in the test's name. `--first-seed 40 --fault-repeats 10` repeats
the runs with the seeds 40 to 49.

After every fault, whatever else the test asserts:

- every acknowledged job reaches a terminal status, and a new job runs;
- the stored log is, byte for byte, what the job wrote (its output is a function of the seed, so
  the test computes it; if the job was stopped or lost, the log is a prefix of that);
- a reader that followed the job from its submission, across all reconnects, got exactly the bytes
  of the stored log, each once, and then one `complete` event with the job's result;
- no container, package (except those kept for reruns), partial upload or artifact collection,
  temporary file or unfinished row of the instance is left, and no image except cached requirement
  layers. Files that a kill leaves partially written are deleted after an hour; the tests make them
  look that old and restart the server.
"""

_TAIL = """\
## What is not covered

- A server that is started while the machine's clock is wrong, and a clock jump that only the
  engine sees.
- A disk that something other than jobs fills to the last byte, when nobody frees space: the
  controller then cannot even record how a job ended, and waits. The test frees more than the log
  still needs.
- `kill -9` of a server whose request to create a container is executed by the engine only after
  the next server has looked for it (the launch fault aims at this but cannot force it).
- Power cuts: disks with a volatile write cache, torn writes, file systems other than ext4 and XFS,
  and what a power cut does to running containers (the tests cut the disk of data and database).
- Disks that lie, return errors on reads, or become read-only while in use; damaged databases (the
  unit tests cover refusing those at startup).
- Engines on another machine, and rootless Docker. What holds on gVisor, Podman and other storage:
  [engines.md](engines.md).
- Output, at most 256 KiB, that a job had written to its pipe but its init process not yet to the
  spool when the init process was killed with the machine, or by an engine that takes its containers
  down. The log says so.
- The kernel killing the server for lack of memory is the same as `kill -9`; a machine that swaps
  until it stops responding is not tested.
"""


@dataclass
class Fault:
    """One row."""

    title: str
    does: str
    asserts: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    @property
    def runs(self):
        return self.passed + self.failed

    def take(self, run):
        """Count a run; the last one tells what the fault is."""
        self.does, self.asserts = run["does"], run["asserts"]
        setattr(self, run["outcome"], getattr(self, run["outcome"]) + 1)
        if run["outcome"] != "skipped":
            self.seconds += run["seconds"]

    @property
    def cells(self):
        texts = (self.title, self.does, self.asserts)
        runs = f"{self.runs} ({self.skipped} skipped)" if self.skipped else f"{self.runs}"
        each = f"{self.seconds / self.runs:.0f} s" if self.runs else "-"
        escaped = [text.replace("|", "\\|") for text in texts]
        return (*escaped, runs, f"{self.passed}", f"{self.failed}", each)


class FaultRuns:
    """Finished runs, each a dict; kept in a file of JSON lines when there is one.

    `id` is the test's, with its parameters; `outcome` is passed, failed or skipped; `output` names
    the file, beside this one, that has the end of a failed run's output.
    """

    def __init__(self, path=None):
        self.path = None if path is None else Path(path)
        self.runs = []
        if self.path is not None and self.path.exists():
            self.runs = list(_read(self.path))

    @property
    def ids(self):
        """Of the tests that have run, and need not run again."""
        return {run["id"] for run in self.runs}

    @property
    def done(self):
        """How many faults were really tried."""
        return sum(run["outcome"] != "skipped" for run in self.runs)

    @property
    def failed(self):
        return [run for run in self.runs if run["outcome"] == "failed"]

    def add(self, run, output=""):
        """Append a run, and the end of its output if it failed."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if output:
                run["output"] = self._keep(run, output)
            _append(self.path, run)
        self.runs.append(run)

    def _keep(self, run, output):
        name = re.sub(r"[^\w.-]+", "-", run["id"].rpartition("/")[2]).strip("-")
        kept = self.path.with_name(f"{self.path.stem}-failures") / f"{name}.txt"
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(output)
        return str(kept.relative_to(self.path.parent))

    def rows(self):
        """The faults, by title. What a test calls its fault now goes for its older runs, too."""
        titles = {_case(run): run["title"] for run in self.runs if run.get("title")}
        latest = {run["title"]: run for run in self.runs if run.get("title")}
        rows = {}
        for run in self.runs:
            title = titles.get(_case(run))
            if title is None:  # of a worker that died with its first test
                continue
            told = {name: latest[title][name] for name in ("title", "does", "asserts")}
            rows.setdefault(title, Fault(**told)).take({**run, **told})
        return [rows[title] for title in sorted(rows)]

    def page(self):
        """docs/reliability.md."""
        names = ("Fault", "What the test does", "Additional assertions", "Runs", "Passed", "Failed")
        cells = [(*names, "Duration"), ("---",) * 7, *(row.cells for row in self.rows())]
        table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
        return f"{_HEAD}\n{self._summary()}\n\n{table}\n\n{_TAIL}"

    def _summary(self):
        days = sorted(run["at"][:10] for run in self.runs)
        span = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
        machines = ". ".join(sorted({run["machine"] for run in self.runs}))
        return f"{self.done} runs, {len(self.failed)} failed ({span}).\n{machines}."


def _case(run):
    """A test without its seed."""
    return _SEED.sub("", run["id"])


def _read(path):
    """Lines that were written whole."""
    for line in path.read_text(errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue  # of a machine that went down meanwhile; that test runs again


def _append(path, run):
    """One write, after whatever half of a line may be there."""
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        start = b"" if file.read(1) in (b"", b"\n") else b"\n"
        file.write(start + json.dumps(run).encode() + b"\n")


class ReliabilityTable:
    """A pytest plugin for the process that sees all reports."""

    def __init__(self, write=False, state=None):
        self._write = write
        self._ran = FaultRuns()
        self._runs = self._ran if state is None else FaultRuns(state)
        self._reports = {}
        self._about = {"machine": _machine(), "revision": _revision()}

    def pytest_runtest_logreport(self, report):
        self._reports.setdefault(report.nodeid, []).append(report)
        if report.when in ("teardown", "???"):  # the latter of a worker that died
            self._take(report.nodeid, self._reports.pop(report.nodeid))

    def _take(self, nodeid, reports):
        properties = dict(one for report in reports for one in report.user_properties)
        died = reports[-1].when == "???"
        if _PROPERTY not in properties and not (died and _SEED.search(nodeid)):
            return
        outcomes = {report.outcome for report in reports}
        run = {
            "id": nodeid,
            **json.loads(properties.get(_PROPERTY, "{}")),
            "outcome": next(one for one in ("failed", "skipped", "passed") if one in outcomes),
            "seconds": round(sum(getattr(report, "duration", 0) for report in reports), 2),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            **self._about,
        }
        output = "\n".join(map(_output, reports)) if run["outcome"] == "failed" else ""
        self._runs.add(run, output)
        if self._runs is not self._ran:
            self._ran.add(run)

    def pytest_sessionfinish(self):
        if self._write and self._runs.runs:
            PAGE.write_text(self._runs.page())

    def pytest_terminal_summary(self, terminalreporter):
        for row in self._ran.rows():
            result = f"{row.failed} failed" if row.failed else "passed" if row.runs else "skipped"
            terminalreporter.write_line(f"{result:>12}  {row.cells[-1]:>6}  {row.title}")


def _output(report):
    """The ends of what a phase of a test wrote, and why it failed."""
    parts = [("why", report.longreprtext if report.failed else ""), *report.sections]
    return "\n".join(
        f"=== {report.when}: {name}\n" + "\n".join(text.splitlines()[-_TAIL_LINES:])
        for name, text in parts
        if text
    )


def _machine():
    release, version = platform.release(), platform.python_version()
    return f"{os.cpu_count()} cores, Linux {release}, Python {version}"


def _revision():
    """The commit that is tested, or what is known of it."""
    done = subprocess.run(
        ["git", "--no-optional-locks", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def describe(item):
    """Let the reports of a test carry what its marker `fault` says, and its seed."""
    marker = item.get_closest_marker("fault")
    if marker is not None:
        title, does, asserts = marker.args
        seed = item.callspec.params.get("seed") if hasattr(item, "callspec") else None
        text = {"title": title, "does": does, "asserts": asserts, "seed": seed}
        item.user_properties.append((_PROPERTY, json.dumps(text)))
