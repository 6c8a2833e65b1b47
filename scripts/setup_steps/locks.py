"""One lock file per thing that two runs must not make at the same time."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from setup_steps.console import say
from setup_steps.paths import ROOT


def lock_path(name: str) -> Path:
    """A file in the temporary directory, this user's own: a clone's name is part of it."""
    return Path(tempfile.gettempdir()) / f"ci-runner-{os.getuid()}-{name}.lock"


def clone_lock_name(what: str) -> str:
    """The name of a lock that only this clone takes."""
    return f"{what}-{hashlib.sha256(bytes(ROOT)).hexdigest()[:12]}"


@contextmanager
def held(name: str) -> Iterator[None]:
    """Hold the lock called `name`, waiting for whoever has it. The kernel frees it at death."""
    descriptor = os.open(lock_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"    another run holds {lock_path(name)}: waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
