"""Debian's package manager, used only by root, and only when a step lacks something."""

import os
import shutil
from collections.abc import Mapping, Sequence

from setup_steps import locks
from setup_steps.console import run_quietly, step

LOCK_TIMEOUT = "DPkg::Lock::Timeout=300"


def is_usable() -> bool:
    """Whether packages can be installed here: Debian or Ubuntu, and root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str, start_services: bool = True) -> None:
    """Install packages, refreshing the lists first (a fresh machine has none). Without
    `start_services` those with a service are there for their programs: systemd starts none now.

    Raises:
        SetupError: with the end of apt's output.
    """
    with step(f"Installing {' '.join(packages)} with apt-get"), locks.held("apt"):
        _apt_get(["update"])
        offline = {} if start_services else {"SYSTEMD_OFFLINE": "1"}
        _apt_get(["install", "-y", "--no-install-recommends", *packages], offline)


def _apt_get(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    run_quietly(
        ["apt-get", "-q", "-o", LOCK_TIMEOUT, *arguments],
        failure=f"`apt-get {arguments[0]}` failed, so the machine lacks a package it needs.",
        env={
            **os.environ,
            "DEBIAN_FRONTEND": "noninteractive",
            "NEEDRESTART_SUSPEND": "1",
            **(environment or {}),
        },
    )
