"""The tools that create XFS file systems, for the power-cut tests."""

import shutil

from setup_steps import apt
from setup_steps.console import SetupError, say

PACKAGE = "xfsprogs"


def ensure() -> None:
    """Install them when running as root on Debian or Ubuntu.

    Nothing else needs them: when this fails, only the tests on XFS are skipped.
    """
    if shutil.which("mkfs.xfs") is not None or not apt.is_usable():
        return
    try:
        apt.install(PACKAGE)
    except SetupError as error:
        say(f"    The tests on XFS will be skipped. {error}")
