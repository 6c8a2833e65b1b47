"""Waiting for conditions; a time-out tells the last state seen."""

import asyncio
import inspect
import time

import pytest

PATIENCE_SECONDS = 60.0
"""Generous: it is only waited out when a test fails."""


async def until(look, good=bool, what="the condition", seconds=PATIENCE_SECONDS):
    """Call `look` (it may be a coroutine function) until `good` of what it returned; return it."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if inspect.isawaitable(seen):
            seen = await seen
        if good(seen):
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come true in {seconds:g} s; last seen: {seen!r}")
        await asyncio.sleep(0.005)


def until_sync(look, good=bool, what="the condition", seconds=PATIENCE_SECONDS):
    """The same for tests without an event loop."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if good(seen):
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come true in {seconds:g} s; last seen: {seen!r}")
        time.sleep(0.005)
