"""Work that runs to completion even if the caller is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


async def to_completion(
    work: Awaitable[Result],
    undo: Callable[[Result], None] | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Result:
    """Return what the work returns. If the caller is cancelled, wait for the work to end before
    raising CancelledError, so that the caller can clean up. `interrupt` is called on each
    cancellation and makes long work end soon; `undo` gets a result that is not returned.

    For file operations on threads, which cannot be cancelled, and for steps that must not be left
    half done.
    """
    future = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
            if interrupt is not None:
                interrupt()
    if cancelled is None:
        return future.result()
    # `exception()` also marks an error as retrieved: the caller gets the cancellation instead.
    if not future.cancelled() and future.exception() is None and undo is not None:
        undo(future.result())
    raise cancelled


async def on_thread(
    function: Callable[Parameters, Result],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> Result:
    """Like `asyncio.to_thread`, but see `to_completion`."""
    return await to_completion(asyncio.to_thread(function, *arguments, **options))
