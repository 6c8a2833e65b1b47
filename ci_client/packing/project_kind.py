"""What kind of project a directory holds: how its tests are run, and what is installed for them.

What is installed is the server's to decide (docs/using.md, "What is installed"). The names of the
files, and their order, are the same in both: `ci_common.install_files`.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ci_common.bounded_toml import read_toml
from ci_common.install_files import PACKAGE_FILES, REQUIREMENTS, TEST_FILES, TEST_NAMES, Lock

_MOST_READ = 100
"""Test files that are looked into."""
_TEST_FILE = re.compile(r"(?:.*/)?(?:test[^/]*|[^/]+_test)\.py")
_PYTEST = re.compile(r"^[ \t]*(?:import|from)[ \t]+pytest\b", re.MULTILINE)
_UNITTEST = re.compile(r"^[ \t]*(?:import|from)[ \t]+unittest\b", re.MULTILINE)
"""Within a line: over empty lines the search would take the square of their number."""
_PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")
"""A directory's name that a shell takes as it is."""
_MAKE_TARGETS = ("test", "check")
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_OPTION_LINE = re.compile(r"\s*(?:#.*|--.*)?")
_NOTHING_TO_RUN = "no test specified"
"""In the script that `npm init` writes."""

NODE_IMAGE = "node:22"


@dataclass(frozen=True, slots=True)
class Files:
    """What would be sent of a project."""

    names: Collection[str]
    """Paths, with `/`."""
    read: Callable[[str], bytes]
    """The content of one of them, or the beginning of it."""

    def text(self, name: str) -> str:
        """The content as text, empty where there is no such file."""
        return self.read(name).decode(errors="replace") if name in self.names else ""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a project's tests."""

    command: str
    why: str
    """What in the project speaks for it."""
    install: tuple[str, ...] | None = None
    """Lines of a requirements file; `None`: what the project's files say."""
    image: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectKind:
    """What was found."""

    way: Way
    others: tuple[Way, ...] = ()
    installed: tuple[str, ...] = field(default=())
    """Files whose requirements are installed unless the job's table has its own."""


_BY_DEFAULT = Way("python -m pytest -v", "no tests were found, and this is the default")


def project_kind(files: Files) -> ProjectKind:
    """What the files speak for; the first way that fits, and the others."""
    pyproject = _table(files)
    ways = [
        way
        for look in (_python_tests, _tox, _nox, _make, _npm)
        if (way := look(files, pyproject)) is not None
    ]
    installed = _installed(files, pyproject)
    return ProjectKind(ways[0] if ways else _BY_DEFAULT, tuple(ways[1:]), installed)


def _table(files: Files) -> dict[str, Any]:
    try:
        return read_toml(files.read("pyproject.toml")) if "pyproject.toml" in files.names else {}
    except (ValueError, RecursionError):
        return {}


# ------------------------------------------------------------------ how tests are run


def _python_tests(files: Files, pyproject: dict[str, Any]) -> Way | None:
    tests = sorted(name for name in files.names if _TEST_FILE.fullmatch(name))
    if why := _sign_of_pytest(files, pyproject):
        return Way("python -m pytest -v", why)
    texts = {name: files.text(name) for name in tests[:_MOST_READ]}
    for name, text in texts.items():
        if _PYTEST.search(text):
            return Way("python -m pytest -v", f"{name} imports pytest")
    of_unittest = [name for name, text in texts.items() if _UNITTEST.search(text)]
    if of_unittest and len(of_unittest) == len(texts):
        return Way(_discover(files, of_unittest[0]), f"{of_unittest[0]} imports unittest")
    if tests:
        return Way("python -m pytest -v", f"{tests[0]} looks like a test")
    return None


def _sign_of_pytest(files: Files, pyproject: dict[str, Any]) -> str | None:
    """Where pytest is configured."""
    if _below(pyproject, "tool", "pytest"):
        return "pyproject.toml configures pytest"
    for name in ("pytest.ini", ".pytest.ini"):
        if name in files.names:
            return f"{name} configures pytest"
    for name, section in (("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")):
        if section in files.text(name):
            return f"{name} configures pytest"
    found = min((n for n in files.names if PurePosixPath(n).name == "conftest.py"), default=None)
    return f"{found} is pytest's" if found else None


def _discover(files: Files, test: str) -> str:
    """The tests are looked for where they are, if that is no package."""
    top = test.partition("/")[0]
    if top == test or f"{top}/__init__.py" in files.names or not _PLAIN.fullmatch(top):
        return "python -m unittest discover -v"
    return f"python -m unittest discover -v -s {top}"


def _tox(files: Files, pyproject: dict[str, Any]) -> Way | None:
    if "[tox]" in files.text("tox.ini") or "[testenv" in files.text("tox.ini"):
        return Way("python -m tox", "tox.ini configures tox", ("tox",))
    if _below(pyproject, "tool", "tox"):
        return Way("python -m tox", "pyproject.toml configures tox", ("tox",))
    return None


def _nox(files: Files, pyproject: dict[str, Any]) -> Way | None:
    if "noxfile.py" in files.names:
        return Way("python -m nox", "noxfile.py is nox's", ("nox",))
    return None


def _make(files: Files, pyproject: dict[str, Any]) -> Way | None:
    for name in _MAKEFILES:
        targets = _targets(files.text(name))
        for target in _MAKE_TARGETS:
            if target in targets:
                return Way(f"make {target}", f"{name} has the target {target}")
    return None


def _targets(makefile: str) -> set[str]:
    found = set()
    for line in makefile.splitlines():
        head, colon, rest = line.partition(":")
        if colon and not head.startswith(("\t", "#")) and "=" not in f"{head}{rest[:2]}":
            found.update(head.split())
    return found


def _npm(files: Files, pyproject: dict[str, Any]) -> Way | None:
    try:
        script = _below(json.loads(files.text("package.json") or "{}"), "scripts").get("test")
    except (ValueError, RecursionError):
        return None
    if not isinstance(script, str) or _NOTHING_TO_RUN in script:
        return None
    install = "npm ci" if "package-lock.json" in files.names else "npm install"
    return Way(f"{install} && npm test", "package.json has the script test", (), NODE_IMAGE)


# ------------------------------------------------------------------ what is installed


def _installed(files: Files, pyproject: dict[str, Any]) -> tuple[str, ...]:
    for lock in Lock:
        if lock in files.names and (lock.project_file or lock) in files.names:
            return (str(lock),)
    found, has_tests = [], False
    lines = files.text(REQUIREMENTS).splitlines()
    if any(not _OPTION_LINE.fullmatch(line) for line in lines):
        found.append(REQUIREMENTS)
    elif (source := next((n for n in PACKAGE_FILES if n in files.names), None)) is not None:
        has_tests = _has_tests(pyproject)
        if has_tests or _is_something(files, pyproject):
            found.append(source)
    if not has_tests:
        found += [name for name in TEST_FILES if name in files.names][:1]
    return tuple(found)


def _is_something(files: Files, pyproject: dict[str, Any]) -> bool:
    """Whether there is a package, or there are dependencies."""
    is_legacy = "setup.py" in files.names or re.search(
        r"^\[(metadata|options)\]", files.text("setup.cfg"), re.MULTILINE
    )
    return bool(
        is_legacy
        or "build-system" in pyproject
        or _below(pyproject, "tool", "poetry")
        or _below(pyproject, "project").get("dependencies")
    )


def _has_tests(pyproject: dict[str, Any]) -> bool:
    named = {
        *_below(pyproject, "project", "optional-dependencies"),
        *_below(pyproject, "dependency-groups"),
    }
    return not named.isdisjoint(TEST_NAMES)


def _below(table: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}
