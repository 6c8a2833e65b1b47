"""A controller with real rows and files, and a fake executor."""

import pytest

from support.controller_world import ControllerWorld


@pytest.fixture
async def world(tmp_path):
    world = await ControllerWorld(tmp_path).open()
    yield world
    await world.close()
    assert world.executor.violations == []
