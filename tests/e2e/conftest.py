"""A server, and a user with a directory and a command line."""

import pytest

from support.command_line import CommandLine
from support.server_fixtures import busy, own_server, pytest_runtest_makereport, server, single

__all__ = ["busy", "own_server", "pytest_runtest_makereport", "server", "single"]


@pytest.fixture
def user(server, tmp_path):
    """The command line of a user of the shared server, in an empty directory."""
    line = CommandLine(server.url, tmp_path)
    yield line
    line.close()


@pytest.fixture
def user_of(tmp_path):
    """A function that makes the command line of a user of another server."""
    lines = []

    def make(server_url):
        lines.append(CommandLine(server_url, tmp_path))
        return lines[-1]

    yield make
    for line in lines:
        line.close()


@pytest.fixture
def project(tmp_path):
    """A directory with one file, for commands after --."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "readme.txt").write_text("a project\n")
    return directory
