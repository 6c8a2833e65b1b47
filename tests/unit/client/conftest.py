"""Fixtures of the client's tests. A module that needs more of its server builds on this one."""

import pytest
from client_scripted_server import scripted_server


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


@pytest.fixture
def target(tmp_path):
    """A directory that is still to be made."""
    return tmp_path / "made" / "here"
