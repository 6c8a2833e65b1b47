"""Fault runs for hours: rounds of the fault suite, each with seeds of its own, until enough ran.

Every finished run is a line of a state file before the next one begins, so that whatever ends this
loses no more than the tests under way. `scripts/faults` is the command.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.live_server import ROOT
from support.reliability import PAGE, FaultRuns

SUITE = "tests/faults"
SEEDS_A_ROUND = 5
TESTS_AT_ONCE = 20
"""Of one start of pytest: after each, it is looked whether there is time for more."""

_TEST = re.compile(rf"{SUITE}/\S+::\S*\bseed(\d+)\b\S*")
_COLLECTED, _NOTHING_SELECTED = 0, 5
_TAIL_LINES = 30


class RoundError(Exception):
    """pytest could not run the tests. The message has the end of what it said."""


@dataclass
class Options:
    """What to do."""

    runs: int
    """How many the state file is to have, with those of earlier times."""
    state: Path
    only: str | None = None
    """An expression for pytest's `-k`."""
    first_seed: int = 0
    stop_after: float | None = None
    """Seconds; the tests under way then come to their end."""
    workers: int = 2


class FaultRounds:
    """Runs rounds until there are enough runs, or the time is over."""

    def __init__(self, options, say):
        self._options = options
        self._say = say
        self._deadline = time.monotonic() + (options.stop_after or float("inf"))
        self._child = None

    def run(self):
        """All rounds; the runs that were added."""
        with held(self._options.state) as lock:
            before = len(self._runs.runs)
            seed = self._options.first_seed
            while not self._is_over():
                self._round(seed, lock)
                seed += SEEDS_A_ROUND
            return self._runs.runs[before:]

    @property
    def _runs(self):
        return FaultRuns(self._options.state)

    def _is_over(self):
        return self._left() <= 0 or time.monotonic() > self._deadline

    def _left(self):
        return self._options.runs - self._runs.done

    def _round(self, seed, lock):
        """Run what of a round has not run yet."""
        tests = self._collect(seed)
        if not tests:
            raise RoundError("no fault test is selected")
        began = False
        while pending := self._pending(tests):
            if self._is_over():
                return
            began = True
            self._run_tests(pending[: min(self._left(), TESTS_AT_ONCE)], lock)
        if began and not self._any_ran(tests):
            raise RoundError("every test of this round was skipped; see pytest -rs")

    def _pending(self, tests):
        done = self._runs.ids
        return [test for test in tests if test not in done]

    def _any_ran(self, tests):
        return any(run["outcome"] != "skipped" for run in self._runs.runs if run["id"] in tests)

    def _collect(self, seed):
        """The tests of a round, by id: those that are there now, with the seeds of the round."""
        repeats = [f"--first-seed={seed}", f"--fault-repeats={SEEDS_A_ROUND}"]
        command = [*_PYTEST, SUITE, "--collect-only", "-q", "-m", "fault", *repeats]
        command += ["-k", self._options.only] if self._options.only else []
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in (_COLLECTED, _NOTHING_SELECTED):
            raise RoundError(f"pytest cannot collect {SUITE}:\n{_tail(done.stdout + done.stderr)}")
        found = [line for line in done.stdout.splitlines() if _TEST.fullmatch(line)]
        return sorted(found, key=_seed)  # all faults once, before any of them once more

    def _run_tests(self, tests, lock):
        """Run these; they write their lines to the state themselves."""
        seeds = [_seed(test) for test in tests]
        repeats = [f"--first-seed={min(seeds)}", f"--fault-repeats={max(seeds) - min(seeds) + 1}"]
        command = [*_PYTEST, "-q", *repeats, f"--fault-state={self._options.state.resolve()}"]
        if self._options.workers > 1:
            command += ["-n", str(self._options.workers)]
        before = self._runs
        with Path(f"{self._options.state}.log").open("wb") as log:
            code = self._wait(command + tests, log, lock)
        self._tell(before, code)

    def _wait(self, command, log, lock):
        """Run pytest, in a session of its own so that Ctrl-C reaches it once; its exit code."""
        self._child = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],  # nobody else goes on while it lives, even without us
        )
        try:
            return self._child.wait()
        except KeyboardInterrupt:
            self._say("interrupted: the tests under way are ended, and clean up")
            os.killpg(self._child.pid, signal.SIGINT)  # to the workers, too, as a terminal does
            self._child.wait()
            raise

    def _tell(self, before, code):
        runs = self._runs
        new = runs.runs[len(before.runs) :]
        if not new:
            said = Path(f"{self._options.state}.log").read_text(errors="replace")
            raise RoundError(f"pytest ended with {code} and ran nothing:\n{_tail(said)}")
        for run in new:
            if run["outcome"] == "failed":
                self._say(f"FAILED {run['id']}: {run.get('output', 'no output')}")
        where = f"; their output is beside {self._options.state}" if runs.failed else ""
        self._say(f"{runs.done}/{self._options.runs} runs, {len(runs.failed)} failed{where}")


_PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]


@contextmanager
def held(state):
    """Keep others from the same state file, for as long as we or tests of ours live."""
    state.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{state}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RoundError(
                f"{state} is in use; tests of an earlier start may be ending"
            ) from None
        yield lock


def write_page(state):
    """Write docs/reliability.md from all runs of a state file."""
    runs = FaultRuns(state)
    if not runs.runs:
        raise RoundError(f"{state} has no runs yet")
    PAGE.write_text(runs.page())
    return PAGE


def _seed(test):
    return int(_TEST.fullmatch(test)[1])


def _tail(text):
    return "\n".join(text.splitlines()[-_TAIL_LINES:])
