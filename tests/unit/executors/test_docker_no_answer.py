"""What is said of an engine that does not answer, by the reason for that."""

import pytest
import requests
from docker.errors import DockerException

from ci_common.errors import EngineUnavailableError
from ci_controller.executors.docker.engine import translated


def wrapped(cause):
    """Raise it as docker-py does."""
    try:
        try:
            raise cause
        except OSError as error:
            raise requests.ConnectionError("Connection aborted.", error) from None
    except requests.ConnectionError as error:
        raise DockerException(f"Error while fetching server API version: {error}") from error


def told(cause):
    """What is said of it."""
    with pytest.raises(EngineUnavailableError) as raised, translated():
        wrapped(cause)
    return raised.value.message


def test_a_socket_that_the_user_may_not_use():
    message = told(PermissionError(13, "Permission denied"))
    assert "Permission denied" in message
    assert "group `docker`" in message
    assert "Is it running?" not in message


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(2, "No such file or directory"), ConnectionRefusedError(111, "refused")],
)
def test_an_engine_that_does_not_run(error):
    message = told(error)
    assert error.strerror in message
    assert "Is it running?" in message
    assert "jobs wait" in message
