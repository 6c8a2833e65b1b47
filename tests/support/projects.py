"""Projects to submit, as zips and as directories."""

import os

from support.archives import zip_bytes

PASSING = zip_bytes({"test_it.py": "def test_passes():\n    assert 1 + 1 == 2\n"})
FAILING = zip_bytes({"test_it.py": "def test_fails():\n    assert 1 + 1 == 3\n"})
BROKEN = zip_bytes({"test_it.py": "def test_never(:\n"})

ANY = zip_bytes({"readme.txt": "a project without tests; its job is a command\n"})

WAITING = ["sh", "-c", "echo waiting; while [ ! -e go ]; do sleep 0.02; done; echo went on"]
"""A command that goes on when its directory has a file `go` (see engine.release)."""

ENDLESS = ["sh", "-c", "echo started; exec sleep 1000"]


def shell(script):
    """A command: a shell's script."""
    return ["sh", "-c", script]


def python(script):
    """A command: a Python script."""
    return ["python", "-c", script]


def table(text, files=None):
    """A project with a table of jobs."""
    return zip_bytes({"pyproject.toml": text, **(files or {"readme.txt": "-\n"})})


def write(directory, files):
    """A project as a directory."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.utime(directory)
    return directory
