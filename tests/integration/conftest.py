"""Servers for these tests; see support/server_fixtures.py."""

from support.server_fixtures import own_server, pytest_runtest_makereport, server

__all__ = ["own_server", "pytest_runtest_makereport", "server"]
