"""`--engine NAME`: the tests that need a container engine run on one that this run starts.

tests/conftest.py imports the hooks. The engine is started before the workers are, and reaches them,
and everything that tests start, through the environment.
"""

import os
from contextlib import ExitStack

import pytest

from support.engine_gaps import gap
from support.own_engines import ENGINES, OWN, EngineMissingError, own_engine

_MISSING = "CI_TEST_ENGINE_MISSING"
"""Tells the workers why there is no such engine."""

DEFAULT_IMAGE = "ci-runner:latest"

_running = ExitStack()


def runner_image():
    """The image that tests run jobs in."""
    return os.environ.get("CI_IMAGE") or DEFAULT_IMAGE


def runtime():
    """The runtime of the engine that jobs run with; `None` is the engine's default."""
    return os.environ.get("CI_DOCKER_RUNTIME") or None


def server_settings():
    """What a server needs to run jobs there, besides DOCKER_HOST."""
    found = {"image": os.environ.get("CI_IMAGE"), "docker_runtime": runtime()}
    return {name: value for name, value in found.items() if value}


def pytest_addoption(parser):
    parser.addoption(
        "--engine",
        choices=(OWN, *ENGINES),
        default=OWN,
        help="run the tests that need a container engine, and no others, on one of their own",
    )


def is_chosen(config):
    """Whether the tests run on another engine than the machine's."""
    return config.getoption("--engine") != OWN


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    config = session.config
    if not is_chosen(config) or hasattr(config, "workerinput"):
        return
    try:
        engine = _running.enter_context(own_engine(config.getoption("--engine"), runner_image()))
    except EngineMissingError as error:
        os.environ[_MISSING] = str(error)
    except pytest.fail.Exception as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)
    else:
        os.environ.update(engine.environment)


def pytest_unconfigure():
    _running.close()


@pytest.fixture(scope="session", autouse=True)
def chosen_engine():
    """Skips where the chosen engine cannot be."""
    if missing := os.environ.get(_MISSING):
        pytest.skip(missing)


def pytest_collection_modifyitems(config, items):
    if not is_chosen(config):
        return
    chosen = [item for item in items if item.get_closest_marker("docker")]
    if _MISSING in os.environ:
        del chosen[1:]  # one is skipped for all
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen
    for item in items:
        found = gap(config.getoption("--engine"), item.path.stem, item.originalname)
        if found is not None:
            item.add_marker(pytest.mark.xfail(reason=found.why, strict=True, run=found.is_run))
