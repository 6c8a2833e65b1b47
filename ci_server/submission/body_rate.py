"""Bodies have to arrive at a pace, whichever door and web server receives them."""

import asyncio
import time
from collections.abc import AsyncIterator

from ci_common.errors import RequestTimeoutError

BYTES_PER_SECOND = 1024
"""Slower than this over a whole time-out is no upload, but an attempt to keep a connection."""


async def paced(body: AsyncIterator[bytes], patience_seconds: float) -> AsyncIterator[bytes]:
    """The body, as long as it comes fast enough; only the time spent waiting for it counts.

    Raises RequestTimeoutError.
    """
    waited, received = 0.0, 0
    while True:
        begin = time.monotonic()
        try:
            async with asyncio.timeout(patience_seconds):
                chunk = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise RequestTimeoutError from None
        waited += time.monotonic() - begin
        received += len(chunk)
        if waited >= patience_seconds:
            if received < BYTES_PER_SECOND * waited:
                raise RequestTimeoutError
            waited, received = 0.0, 0
        yield chunk
