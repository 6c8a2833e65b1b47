"""Programs that some tests need and nothing else does."""

import shutil
from typing import NamedTuple

from setup_steps import apt
from setup_steps.console import SetupError, say


class Tool(NamedTuple):
    """A program, Debian's package that has it, and the tests that are skipped without it."""

    program: str
    package: str
    tests: str


TOOLS = (
    Tool("mkfs.xfs", "xfsprogs", "The tests on XFS"),
    Tool("chromium", "chromium", "The tests with a browser"),
    Tool("node", "nodejs", "The tests with Node.js"),
    Tool("nginx", "nginx-light", "The tests behind nginx"),
    Tool("caddy", "caddy", "The tests behind Caddy"),
    Tool("systemd-analyze", "systemd", "The test of the systemd unit"),
    Tool("promtool", "prometheus", "The tests of alert rules"),
    Tool("clamscan", "clamav", "The test with ClamAV"),
    Tool("clamd", "clamav-daemon", "The tests with ClamAV's daemon"),
    Tool("clamdscan", "clamdscan", "The tests with the client of ClamAV's daemon"),
    Tool("valgrind", "valgrind", "The test of what starting ci costs"),
)


def ensure() -> None:
    """Install them when running as root on Debian or Ubuntu; say what is skipped without."""
    for tool in TOOLS:
        if shutil.which(tool.program) is not None or not apt.is_usable():
            continue
        try:
            apt.install(tool.package, start_services=False)
        except SetupError as error:
            say(f"    {tool.tests} will be skipped. {error}")
