"""Metrics of the processes of one instance, as files of the data directory (port MetricShares).

    metrics/ID.json   what the process ID has counted, replaced as a whole now and then
    metrics/ID.lock   locked by that process for as long as it lives, however it ends
    metrics/ended     what those that have ended counted, and which of them are in it
    metrics/totals    what is counted for all of them: jobs
    metrics/lock      locked by whoever adds up

Nothing here is made durable, and nothing is lost that cannot be without: a counter that begins
anew is what Prometheus expects of any.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from typing_extensions import override

from ci_common.completion import to_completion
from ci_common.errors import NotReadyError
from ci_common.ports.metrics import MetricShares, Shares
from ci_persistence.files.data_directory import Check, make_below, no_check
from ci_persistence.files.key_files import PART

logger = logging.getLogger(__name__)

DIRECTORY = "metrics"
_ENDED, _TOTALS, _LOCK = "ended", "totals", "lock"
_WAIT_SECONDS = 5.0
_LOOK_SECONDS = 0.02


class MetricFiles(MetricShares):
    """Those of one data directory, for one process."""

    def __init__(
        self, data_path: Path, add_up: Callable[[Sequence[bytes]], bytes], check: Check = no_check
    ) -> None:
        """`add_up` makes of what several processes have counted what counts for ever."""
        self._data_path = data_path
        self._directory = data_path / DIRECTORY
        self._add_up = add_up
        self._check = check
        self._id = uuid.uuid4().hex
        self._lock: int | None = None

    @override
    def publish(self, content: bytes) -> None:
        self._check()
        make_below(self._data_path, DIRECTORY)
        if self._lock is None or not (self._directory / f"{self._id}.lock").exists():
            self._begin()
        self._write(f"{self._id}.json", content)

    @override
    def others(self) -> Shares:
        self._check()
        live: list[Path] = []
        dead: list[Path] = []
        for path in sorted(self._directory.glob("*.json")):
            if path.stem != self._id:
                (live if _is_held(path.with_suffix(".lock")) else dead).append(path)
        ended = self._fold(dead)
        return Shares([path.read_bytes() for path in live], ended)

    @override
    def totals(self) -> bytes | None:
        try:
            return (self._directory / _TOTALS).read_bytes()
        except FileNotFoundError:
            return None

    @override
    def keep_totals(self, content: bytes) -> None:
        self._check()
        make_below(self._data_path, DIRECTORY)
        self._write(_TOTALS, content)

    @override
    @asynccontextmanager
    async def scraping(self) -> AsyncIterator[None]:
        lock = await to_completion(asyncio.to_thread(self._open_lock), os.close)
        try:
            await _taken(lock)
            yield
        finally:
            os.close(lock)

    @override
    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _begin(self) -> None:
        """Take a name; a new one where the directory is another one, which has no such lock."""
        self.close()
        self._id = uuid.uuid4().hex
        self._lock = _locked(self._directory / f"{self._id}.lock")

    def _open_lock(self) -> int:
        self._check()
        make_below(self._data_path, DIRECTORY)
        return os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _fold(self, dead: Sequence[Path]) -> bytes | None:
        """Add what the dead counted to what is kept of all of them, each of them once."""
        included, counted = self._ended()
        new = [path for path in dead if path.stem not in included]
        if new:
            contents = [path.read_bytes() for path in new]
            counted = self._add_up(contents if counted is None else [counted, *contents])
        if new or included:
            kept = {"included": [path.stem for path in dead], "counted": (counted or b"").decode()}
            self._write(_ENDED, json.dumps(kept).encode())
        for path in dead:  # once the above is there: a crash in between leaves them in both
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)
        return counted

    def _ended(self) -> tuple[frozenset[str], bytes | None]:
        try:
            kept = json.loads((self._directory / _ENDED).read_bytes())
            return frozenset(kept["included"]), kept["counted"].encode() or None
        except FileNotFoundError:
            return frozenset(), None
        except (ValueError, KeyError, TypeError, AttributeError):
            logger.warning("%s is damaged: its counters begin anew", self._directory / _ENDED)
            return frozenset(), None

    def _write(self, name: str, content: bytes) -> None:
        part = self._directory / f"{name}.{self._id}{PART}"
        try:
            part.write_bytes(content)
            part.rename(self._directory / name)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def _locked(path: Path) -> int:
    """A descriptor that holds the lock of a new file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _is_held(path: Path) -> bool:
    """Whether a process holds the lock of this file; its id might be another process's by now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


async def _taken(lock: int) -> None:
    deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                raise NotReadyError(
                    "another request is still reading the metrics; try again", 1.0
                ) from None
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            return
