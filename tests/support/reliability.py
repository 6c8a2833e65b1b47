"""The table of faults: collected from the tests that ran, written to docs/reliability.md."""

import json
import os
import platform
from collections import defaultdict
from dataclasses import dataclass, field

from support.live_server import ROOT

PAGE = ROOT / "docs" / "reliability.md"
_PROPERTY = "fault"

_HEAD = """\
# What was broken on purpose, and what came of it

This page is written by the fault tests (`scripts/test tests/faults --write-reliability`); do not
edit it. They run real processes and a real container engine. Each fault is repeated at other
random points, derived from the number of the repetition, which is in the test's name; so
`--fault-repeats 50` tries fifty points, and any one of them can be had again.

After every fault, whatever else the test asserts:

- every job that was acknowledged has a terminal status, and a new job runs;
- the stored log is, byte for byte, what the job wrote (what it writes is a function of a seed, so
  the test computes it; of a job that was stopped or lost it is a beginning of that);
- a reader that followed the job from its submission on, over all reconnects, got exactly the bytes
  of the stored log, each once, and then one `complete` with the result that the job has;
- no container, image beyond the cached requirement layers, package, half-done upload or collection,
  temporary file or unfinished row of the instance is left. What a kill leaves half-done on disk is
  swept once it is an hour old; the tests make it old and start the server again.
"""

_TAIL = """\
## What is not covered

- A server that is started while the machine's clock is wrong, and a clock that only the engine
  sees jump.
- A disk that something else than jobs fills to its last byte, when nobody frees space: the
  controller can then not even record how a job ended, and waits. The test frees more than the log
  still needs.
- `kill -9` of a server whose request to create a container is carried out by the engine only
  after the next server has looked for it (aimed at, but not forced, by the launch fault).
- What a container writes while an engine with `--live-restore` is down, when it ends in that time:
  the engine (20.10) throws it away, whether it was killed or stopped. The exit code is true.
- Power cuts: a killed process leaves the kernel's caches intact, so that `fsync` is called in the
  right order is checked by reading, not by these tests.
- Disks that lie, return errors on reads, or turn read-only in mid-work; damaged databases (the
  unit tests refuse those at the start).
- Engines on another machine, Podman, rootless Docker, and Docker's other storage and log drivers.
- Output that an engine had taken from the job, and not yet written down or passed on, when the
  engine itself was killed: nobody has it any more.
- The kernel killing the server for want of memory is the same `kill -9`; a machine that swaps
  itself to death is not tried.
"""


@dataclass
class Fault:
    """One row."""

    title: str
    does: str
    asserts: str
    results: list = field(default_factory=list)
    seconds: float = 0.0


class ReliabilityTable:
    """A pytest plugin for the process that sees all reports."""

    def __init__(self, write):
        self._write = write
        self._faults = {}
        self._outcomes = defaultdict(list)

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties:
            if name == _PROPERTY:
                self._take(json.loads(value), report)

    def _take(self, fault, report):
        row = self._faults.setdefault(fault["title"], Fault(**fault))
        row.seconds += report.duration
        if report.when == "call" or report.outcome != "passed":
            row.results.append(report.outcome)

    def pytest_sessionfinish(self):
        if self._write and self._faults:
            PAGE.write_text(self.page())

    def pytest_terminal_summary(self, terminalreporter):
        for fault in self._sorted():
            terminalreporter.write_line(f"{_result(fault):>12}  {_pace(fault):>6}  {fault.title}")

    def _sorted(self):
        return sorted(self._faults.values(), key=lambda fault: fault.title)

    def page(self):
        rows = [
            f"| {fault.title} | {fault.does} | {fault.asserts} | {len(fault.results)} "
            f"| {_pace(fault)} | {_result(fault)} |"
            for fault in self._sorted()
        ]
        machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python "
        machine += platform.python_version()
        head = "| Fault | What is done | What is asserted besides | Runs | Each | Result |"
        table = "\n".join([head, "|---|---|---|---|---|---|", *rows])
        return f"{_HEAD}\nThe last run: {machine}.\n\n{table}\n\n{_TAIL}"


def _pace(fault):
    return f"{fault.seconds / max(len(fault.results), 1):.0f} s"


def _result(fault):
    bad = [result for result in fault.results if result != "passed"]
    if not bad:
        return "passed"
    return ", ".join(f"{bad.count(kind)} {kind}" for kind in sorted(set(bad)))


def describe(item):
    """Let the reports of a test carry what its marker `fault` says."""
    marker = item.get_closest_marker("fault")
    if marker is not None:
        title, does, asserts = marker.args
        text = json.dumps({"title": title, "does": does, "asserts": asserts})
        item.user_properties.append((_PROPERTY, text))
