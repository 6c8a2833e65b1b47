"""A cancelled caller leaves once the work has ended."""

import asyncio

import pytest

from ci_common.completion import to_completion

pytestmark = pytest.mark.anyio


class Work:
    """Ends when the test says so."""

    def __init__(self, error=None):
        self.go = asyncio.Event()
        self.error = error
        self.undone = []
        self.interrupted = 0

    async def __call__(self):
        await self.go.wait()
        if self.error:
            raise self.error
        return "result"

    def interrupt(self):
        self.interrupted += 1


async def begun(work):
    caller = asyncio.create_task(to_completion(work(), work.undone.append, work.interrupt))
    await asyncio.sleep(0)
    return caller


async def test_the_result_is_the_callers():
    work = Work()
    caller = await begun(work)
    work.go.set()
    assert (await caller, work.undone, work.interrupted) == ("result", [], 0)


async def test_the_error_too():
    work = Work(ValueError("no"))
    caller = await begun(work)
    work.go.set()
    with pytest.raises(ValueError, match="no"):
        await caller


@pytest.mark.parametrize(
    ("error", "undone"), [(None, ["result"]), (ValueError("no"), [])], ids=["result", "error"]
)
async def test_a_cancelled_caller_waits_for_the_end(error, undone):
    work = Work(error)
    caller = await begun(work)
    for _ in range(3):  # however often it is told
        caller.cancel()
        await asyncio.wait([caller], timeout=0)
        assert not caller.done()
    work.go.set()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert (work.undone, work.interrupted) == (undone, 3)
