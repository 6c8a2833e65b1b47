"""Files that nobody can write to for a moment, root included."""

import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def immutable(path):
    """Set the immutable flag, and take it back; skips the test where that is impossible."""
    done = subprocess.run(["chattr", "+i", path], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("this file system, or user, has no immutable files")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
