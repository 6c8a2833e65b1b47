"""Copies a workload's output into the job's log, on a thread of its own, byte for byte."""

import asyncio
import threading
from collections.abc import Callable

from ci_common.ports.workloads import Output


async def pump(output: Output, append: Callable[[bytes], None]) -> None:
    """Copy until the output ends, then close it.

    Reading blocks, and so may writing to a slow disk, so neither happens on the event loop.
    When cancelled, the copying has stopped and the log may be closed once this returns.
    Raises what `append` raises (OSError when the disk is full).
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
            while content := output.read():
                append(content)
        except BaseException as caught:  # noqa: BLE001 - handed to the waiting task, whole
            error = caught
        loop.call_soon_threadsafe(report, error)

    thread = threading.Thread(target=copy, name="log-pump", daemon=True)
    thread.start()
    try:
        await asyncio.shield(done)
    finally:
        output.close()
        if not done.done():
            await asyncio.wait([done])
        if done.done() and not done.cancelled():
            done.exception()
