"""An image that is not on the engine: what a registry's answer means for the job."""

import base64
import json

import pytest

from ci_common.errors import EngineUnavailableError, ImageUnavailableError, RegistryUnavailableError
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


async def test_the_login_of_the_servers_user_is_read_before_each_pull(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    logins = set()
    with fake_registry(DENIED, logins) as registry:
        await refusal(bench, f"{registry}/private/image:7")
        assert logins == {None}
        login = base64.b64encode(b"ann:password").decode()
        config = {"auths": {registry: {"auth": login}}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        await refusal(bench, f"{registry}/private/image:7")
    assert f"Basic {login}" in logins


@pytest.mark.filterwarnings("ignore:docker-credential-missing-helper:UserWarning")
async def test_a_login_program_that_is_missing_ends_the_job(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with fake_registry(NOT_FOUND) as registry:
        config = {"credHelpers": {registry: "missing-helper"}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        error = await refusal(bench, f"{registry}/private/image:7")
    assert isinstance(error, ImageUnavailableError)
    assert "`docker login`" in error.message


async def test_a_login_file_that_is_malformed_is_named(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"auths": {"registry.invalid": "no login"}}')
    with pytest.raises(EngineUnavailableError, match="`docker login` cannot be read"):
        await bench.launch(bench.job("true", ""))
