"""What a killed controller leaves on an engine, besides workloads."""

from dataclasses import dataclass

import docker
import pytest

from ci_controller.executors.docker import container
from support.engine_option import runner_image

pytestmark = [pytest.mark.anyio, pytest.mark.docker]
EXECUTORS = ("docker",)


@dataclass
class Crash:
    """What a killed controller left on the engine."""

    container: str
    image: str


@pytest.fixture
def crash(bench):
    client = docker.from_env(version="auto")
    label = f"{container.LABEL_INSTANCE}={bench.instance}"
    labels = {container.LABEL_INSTANCE: bench.instance, container.LABEL_ROLE: container.ROLE_SETUP}
    made = client.containers.create(runner_image(), "true", labels=labels)
    image = client.api.commit(made.id, changes=[f"LABEL {label}"], pause=False)
    yield Crash(made.id, image["Id"])
    client.close()


async def test_containers_and_images_of_an_engine(bench, crash):
    assert list(await bench.executor.leftovers(3600)) == [], "they may be in use"
    found = await bench.executor.leftovers(0)
    assert {(one.id, one.kind) for one in found} == {
        (crash.container, "installation container"),
        (crash.image, "untagged image"),
    }
    for one in found:
        for _ in range(2):
            await bench.executor.remove_leftover(one)
    assert list(await bench.executor.leftovers(0)) == []
