"""The threads that read much of a log at once: few, so that they leave the processor to others."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from ci_common.tenant_slots import TenantSlots

_THREADS = 2
"""Two searches share what a processor does for Python anyway; more only wait for one another."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class LogThreads:
    """Calls that are made on one of them wait for their turn, in the order in which they come; one
    tenant's never take all.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, "log-reader")
        self._slots = TenantSlots(_THREADS)

    async def run(
        self,
        tenant: str,
        function: Callable[Parameters, Result],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Result:
        """What the function returns. When the caller is cancelled, one that has not begun never
        will; keep those short that have.
        """
        call = partial(function, *arguments, **options)
        async with self._slots.slot(tenant):
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        """Wait for what has begun, and begin nothing else."""
        self._executor.shutdown(cancel_futures=True)
