"""The files that say what a project needs installed, by name and in the order that counts."""

from enum import StrEnum

REQUIREMENTS = "requirements.txt"

TEST_NAMES = ("test", "tests", "testing", "dev")
"""Extras and dependency groups with what the tests need; the first that exists is installed."""

TEST_FILES = tuple(
    pattern.format(name)
    for pattern in (
        "requirements-{}.txt",
        "requirements_{}.txt",
        "{}-requirements.txt",
        "requirements/{}.txt",
    )
    for name in TEST_NAMES
)
"""Requirements of the tests; the first that exists is installed."""

PACKAGE_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
"""What may say how to build a project."""


class Lock(StrEnum):
    """A lock file, by its name, in the order in which they are looked for."""

    UV = "uv.lock"
    POETRY = "poetry.lock"
    PDM = "pdm.lock"
    PIPENV = "Pipfile.lock"
    PYLOCK = "pylock.toml"

    @property
    def project_file(self) -> str | None:
        """The file that it is read together with; `None`: it says everything."""
        if self is Lock.PIPENV:
            return "Pipfile"
        return None if self is Lock.PYLOCK else "pyproject.toml"
