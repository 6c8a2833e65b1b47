"""Servers for these tests, see support/server_fixtures.py; and an instance without one."""

from support.admin_reports import instance
from support.server_fixtures import own_server, pytest_runtest_makereport, server

__all__ = ["instance", "own_server", "pytest_runtest_makereport", "server"]
