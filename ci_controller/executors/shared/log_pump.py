"""Copies a workload's output into the job's log, on a thread of its own, byte for byte."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from ci_common.completion import to_completion
from ci_common.errors import EngineUnavailableError, WorkloadLostError
from ci_common.ports.workloads import Output

logger = logging.getLogger(__name__)

_STEP_BYTES = 24 << 20
"""After so many bytes the executor is told what is on disk. It keeps more than twice as much, so
that the workload goes on meanwhile; and of most jobs nothing has to be told, or synced, at all."""

_RETRY_SECONDS = 0.5


class Storage(Protocol):
    """Where the bytes go that are appended."""

    @property
    def skip(self) -> int:
        """From which byte of the output on it is needed again if this process ends now."""

    def sync(self) -> None:
        """Return when what is before that byte would survive a power cut. Raises LeaseLostError
        when it may be in no log that counts.
        """


async def pump(
    output: Output, append: Callable[[bytes], None], storage: Storage | None = None
) -> None:
    """Copy until the output ends, then close it; with a `storage`, tell the output what is stored.

    Reading blocks, and so may writing to a slow disk, so neither happens on the event loop.
    When cancelled, the copying has stopped and the log may be closed once this returns.
    Raises what `append` and `storage` raise (OSError when the disk is full, LeaseLostError).
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def report(error: BaseException | None) -> None:
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def copy() -> None:
        error: BaseException | None = None
        try:
            _copy(output, append, storage)
        except BaseException as caught:  # noqa: BLE001 - handed to the waiting task, whole
            error = caught
        loop.call_soon_threadsafe(report, error)

    thread = threading.Thread(target=copy, name="log-pump", daemon=True)
    thread.start()
    try:
        await to_completion(done, interrupt=output.close)
    finally:
        output.close()


def _copy(output: Output, append: Callable[[bytes], None], storage: Storage | None) -> None:
    if storage is None:
        while content := output.read():
            append(content)
        return
    acknowledger = _Acknowledger(output, storage)
    told = 0
    try:
        while True:
            # Also before the first byte: whoever was here before may have told nobody.
            if storage.skip - told >= _STEP_BYTES:
                told = storage.skip
                acknowledger.acknowledge(told)
            content = output.read()
            if not content:
                break
            append(content)
    except Exception:
        acknowledger.close()
        acknowledger.check()  # it may be why the output was closed
        raise
    acknowledger.close()
    acknowledger.check()


class _Acknowledger:
    """Tells an output what is stored, on its own thread, because fsync is slow."""

    def __init__(self, output: Output, storage: Storage) -> None:
        self._output = output
        self._storage = storage
        self._changed = threading.Condition()
        self._offset = 0
        self._closed = False
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._syncing = threading.Lock()

    def acknowledge(self, offset: int) -> None:
        """Everything before this was appended. Returns at once; raises what went wrong before."""
        self.check()
        with self._changed:
            self._offset = offset
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-acknowledger", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Return when nobody uses the storage any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        # An acknowledgement under way is of no use to an output that has ended: do not wait for it.
        with self._syncing:
            return

    def _run(self) -> None:
        told = 0
        try:
            while (offset := self._next(told)) is not None:
                if not self._sync():
                    return
                try:
                    self._output.stored(offset)
                except EngineUnavailableError as error:
                    # To be repeated: the workload may be waiting for this.
                    self._pause(error)
                    continue
                told = offset
        except WorkloadLostError:
            return  # whoever reads notices, too
        except BaseException as error:  # noqa: BLE001 - raised by `check`
            if not self._closed:
                self._error = error
                self._output.close()

    def _sync(self) -> bool:
        with self._syncing:
            if not self._closed:
                self._storage.sync()
            return not self._closed

    def _pause(self, why: Exception) -> None:
        with self._changed:
            if not self._closed:
                logger.warning("cannot acknowledge stored output (%s); retrying", why)
            self._changed.wait_for(lambda: self._closed, _RETRY_SECONDS)

    def _next(self, told: int) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._offset > told)
            return None if self._closed else self._offset
