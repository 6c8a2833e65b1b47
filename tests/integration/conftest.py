"""Servers for these tests, see support/server_fixtures.py; and an instance without one."""

from support.admin_reports import instance
from support.process_python import python_for_jobs
from support.server_fixtures import busy, own_server, pytest_runtest_makereport, server, single

__all__ = [
    "busy",
    "instance",
    "own_server",
    "pytest_runtest_makereport",
    "python_for_jobs",
    "server",
    "single",
]
