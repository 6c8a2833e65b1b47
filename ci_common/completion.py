"""Work that is not left in its midst when whoever waits for it is cancelled."""

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
    """What the work returns. A caller that is cancelled meanwhile gets the cancellation once the
    work has ended, so that it can clean up after it; `interrupt` has it end soon, and `undo` takes
    a result that nobody gets.

    For what a thread does with a file, which goes on all the same, and for what must not be half
    done. What takes long is to have an `interrupt`, which may be called more than once.
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
    # To ask for the error is to have seen it: the cancellation is what the caller is told.
    if not future.cancelled() and future.exception() is None and undo is not None:
        undo(future.result())
    raise cancelled


async def on_thread(
    function: Callable[Parameters, Result],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> Result:
    """`asyncio.to_thread`, to its completion."""
    return await to_completion(asyncio.to_thread(function, *arguments, **options))
