"""Who takes SQLite's locks for writing and checkpoints, and whether under the write lock."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("sqlite_lock_spy.c")


class SqliteLockSpy:
    """A library to preload, and what it wrote down about one database."""

    def __init__(self, database, directory):
        self._notes = directory / "sqlite-locks"
        library = directory / "sqlite_lock_spy.so"
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("there is no C compiler (cc) to build the library that watches SQLite")
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", library, SOURCE, "-ldl"],
            check=True,
        )
        self.environment = {
            "LD_PRELOAD": str(library),
            "SQLITE_LOCK_SPY": str(self._notes),
            "SQLITE_LOCK_SPY_INDEX": f"{database.resolve()}-shm",
        }

    def notes(self):
        """`(process, kind, held)` of every lock taken."""
        text = self._notes.read_text() if self._notes.exists() else ""
        lines = [line.split() for line in text.splitlines()]
        return [(int(process), kind, held == "held") for process, kind, held in lines]

    def outside(self):
        """How many locks of each kind were taken without the write lock."""
        return Counter(kind for _, kind, held in self.notes() if not held)

    def processes(self):
        return {process for process, _, _ in self.notes()}
