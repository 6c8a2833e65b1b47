"""The Debian packages that the tests of other container engines need; nothing else needs them."""

import shutil
from collections.abc import Iterable

from setup_steps import apt
from setup_steps.console import SetupError, say

PACKAGES = {
    "gvisor": {"runsc": "runsc"},
    "podman": {"podman": "podman", "catatonit": "catatonit", "runc": "runc"},
    "docker-xfs": {"mkfs.xfs": "xfsprogs"},
    "docker-btrfs": {"mkfs.btrfs": "btrfs-progs"},
}
"""By the engine's name: what must be there, and the package that has it."""


def missing(engines: Iterable[str]) -> list[str]:
    """The packages that these engines still need."""
    return sorted(
        {
            package
            for engine in engines
            for program, package in PACKAGES[engine].items()
            if shutil.which(program) is None
        }
    )


def ensure(engines: Iterable[str]) -> None:
    """Install what is missing, where root may: on Debian or Ubuntu.

    A failure is no reason to stop: the tests of that engine are skipped then.
    """
    packages = missing(engines)
    if not packages:
        return
    if not apt.is_usable():
        say(f"    Not installed, and only root can on Debian or Ubuntu: {', '.join(packages)}")
        return
    try:
        apt.install(*packages)
    except SetupError as error:
        say(f"    The tests of some engines will be skipped. {error}")
