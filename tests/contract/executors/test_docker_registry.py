"""An image that is not on the engine: what a registry's answer means for the job."""

import pytest

from ci_common.errors import ImageUnavailableError, RegistryUnavailableError
from ci_common.launch_step import LaunchStage
from support.executors import collect
from support.fake_registry import (
    DENIED,
    HANGS_UP,
    NOT_FOUND,
    OTHER_PLATFORM,
    OUT_OF_ORDER,
    TOO_MANY,
    fake_registry,
)
from support.memory_log import MemoryLog

pytestmark = [pytest.mark.anyio, pytest.mark.docker]
EXECUTORS = ("docker",)


async def refusal(bench, image):
    with pytest.raises((ImageUnavailableError, RegistryUnavailableError)) as raised:
        await bench.launch(bench.job("true", "", image=image))
    assert bench.leftovers() == []
    assert image in raised.value.message
    return raised.value


@pytest.mark.parametrize(
    "answer",
    [NOT_FOUND, DENIED, (200, OTHER_PLATFORM)],
    ids=["not found", "denied", "other platform"],
)
async def test_what_the_registry_will_say_again_ends_the_job_at_once(bench, answer):
    with fake_registry(answer) as registry:
        error = await refusal(bench, f"{registry}/no/such:7")
    assert isinstance(error, ImageUnavailableError)
    assert "check the name of the image" in error.message


@pytest.mark.parametrize(
    "answer",
    [TOO_MANY, OUT_OF_ORDER, HANGS_UP],
    ids=["too many requests", "out of order", "hangs up"],
)
async def test_a_registry_that_may_be_back_soon_is_tried_again(bench, answer):
    with fake_registry(answer) as registry:
        error = await refusal(bench, f"{registry}/some/image:7")
    assert isinstance(error, RegistryUnavailableError)


async def test_a_pull_is_told_before_it_begins(bench):
    stages = []
    job = bench.job("true", "", image="localhost:1/no/such:tag")
    with pytest.raises(RegistryUnavailableError):
        await bench.executor.launch(bench.request(job), MemoryLog(), stages.append)
    assert stages == [LaunchStage.PULLING]
    output = await bench.executor.launch(
        bench.request(bench.job("pass")), MemoryLog(), stages.append
    )
    await collect(output)
    assert stages == [LaunchStage.PULLING], "an image that is there is not pulled"


async def test_a_registry_that_nobody_answers_for(bench):
    error = await refusal(bench, "localhost:1/no/such:tag")
    assert isinstance(error, RegistryUnavailableError)
    assert "cannot be reached" in error.message
