"""What is known of one process workload: files that outlive the controller."""

import contextlib
import json
import os
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.executors.process.supervisor import boot, process_facts, read_counter

_SETTLED_SECONDS = 60.0


class WorkloadDirectories:
    """The state directory of one job, and its working directory, which lies elsewhere, with its
    secrets beside it.
    """

    def __init__(self, state: Path, work: Path) -> None:
        self.state = state
        self.work = work
        self.secrets = work.with_name(f"{work.name}.secrets")
        self.job_id = state.name

    @property
    def group(self) -> int | None:
        """The command's process group, once it was started."""
        started = self._read("started.json")
        return None if started is None else started["group"]

    @property
    def epoch(self) -> int:
        """Of the controller that launched it; 0 when there is none."""
        request = self._read("request.json")
        return 0 if request is None else int(request.get("epoch", 0))

    @property
    def has_ended(self) -> bool:
        """Whether the command's result was written down, or will never be."""
        return (self.state / "ended.json").exists() or not self._supervisor_lives()

    @property
    def is_settled(self) -> bool:
        """Whether nobody has written here lately: another controller may be about to launch."""
        with contextlib.suppress(FileNotFoundError):
            return time.time() - self.state.stat().st_mtime > _SETTLED_SECONDS
        return True

    def workload(self) -> Workload | None:
        """The workload as the controller sees it; `None` when it left no result."""
        request, started = self._read("request.json"), self._read("started.json")
        lives = self._supervisor_lives()
        # Last: what lived a moment ago may have ended and written this since.
        ended = self._result()
        if request is None or (ended is None and not lives):
            return None
        return Workload(
            job_id=self.job_id,
            state=WorkloadState.RUNNING if ended is None else WorkloadState.EXITED,
            log_base=request["log_base"],
            attempt=request.get("attempt", 1),  # the first version had no retries
            epoch=request.get("epoch", 0),
            exit_code=ended["exit_code"] if ended else None,
            started_at=datetime.fromisoformat(started["at"]) if started else None,
            finished_at=datetime.fromisoformat(ended["at"]) if ended else None,
        )

    def kill_orphans(self) -> None:
        """End a command whose supervisor was killed. A process that only has its number now, as
        after a restart of the machine, is left alone.
        """
        started = self._read("started.json")
        if started is None or started["group"] is None or (self.state / "ended.json").exists():
            return
        if not self._supervisor_lives() and is_process(started["group"], started["start"]):
            signal_group(started["group"], signal.SIGKILL)

    def kill_supervisor(self) -> None:
        """Kill the supervisor, which then records no result."""
        supervisor = self._read("supervisor.json")
        if supervisor is not None and is_process(supervisor["pid"], supervisor["start"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor["pid"], signal.SIGKILL)

    def remove(self) -> None:
        """Delete all files of the workload."""
        remove_tree(self.secrets)
        remove_tree(self.work)
        remove_tree(self.state)

    def _result(self) -> dict[str, Any] | None:
        """How the command ended. After a power cut, an unsynced result is not trusted: it may be
        on disk without the output that came before it.
        """
        ended = self._read("ended.json")
        if ended is None or ended.get("boot", boot()) == boot() or self._is_synced():
            return ended
        return None

    def _is_synced(self) -> bool:
        try:
            with (self.state / "synced").open("rb") as file:
                return read_counter(file.fileno()) == 1
        except FileNotFoundError:
            return False

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return parsed((self.state / name).read_bytes())
        except FileNotFoundError:
            return None

    def _supervisor_lives(self) -> bool:
        supervisor = self._read("supervisor.json")
        return supervisor is not None and is_process(supervisor["pid"], supervisor["start"])


def parsed(record: bytes) -> dict[str, Any] | None:
    """A record's content; `None` if it is empty or cut, as after a power cut."""
    try:
        content: dict[str, Any] = json.loads(record)
    except ValueError:
        return None
    return content


def remove_tree(path: Path) -> None:
    """Delete a directory with all that is in it, however deep, as far as that is possible.

    By the system's own commands: Python's recursion ends at some hundred levels.
    """
    remove = ["rm", "-rf", "--", str(path)]
    subprocess.run(remove, stderr=subprocess.DEVNULL, check=False)
    if os.path.lexists(path) and os.geteuid() != 0:
        # A command that ran as our own user may have made directories that nobody may enter.
        chmod = ["chmod", "-R", "u+rwX", "--", str(path)]
        subprocess.run(chmod, stderr=subprocess.DEVNULL, check=False)
        subprocess.run(remove, stderr=subprocess.DEVNULL, check=False)


def is_process(pid: int, start: str) -> bool:
    """Whether this very process is still there, and not only its zombie."""
    try:
        state, started = process_facts(pid)
    except OSError:
        return False
    return started == start and state != "Z"


def signal_group(group: int, number: int) -> bool:
    """Signal every process of a group; False when there is none any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # the latter for zombies, on macOS
        return False
    return True
