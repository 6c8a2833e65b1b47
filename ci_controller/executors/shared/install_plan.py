"""What is installed of a project before its job: which layers, from which files, and why.

Nothing is run here: the plan follows from the files alone, and executors carry it out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ci_common.install_files import TEST_FILES, Lock
from ci_common.ports.packages import PackageSource
from ci_controller.executors.shared.install_layers import LINES, Layer, content_of
from ci_controller.executors.shared.lock_layers import locked_layers
from ci_controller.executors.shared.manifests import ArchivedManifests, Manifests
from ci_controller.executors.shared.project_archive import ProjectArchive
from ci_controller.executors.shared.project_metadata import (
    ProjectMetadata,
    has_sources,
    read_metadata,
)
from ci_controller.executors.shared.requirement_layers import layers_of_lines
from ci_controller.executors.shared.requirements import (
    FILE_NAME,
    read_requirements,
)

_OTHERS = re.compile(r"[^/]*requirements[^/]*\.txt|requirements/[^/]*\.txt")
_MOST_OTHERS = 5

_NOT_READ = {
    "environment.yml": "a conda environment: use an image that has it, or a requirements.txt",
    "environment.yaml": "a conda environment: use an image that has it, or a requirements.txt",
    "conda-lock.yml": "a conda environment: use an image that has it, or a requirements.txt",
    "requirements.in": "compile it to requirements.txt",
}
_PIPFILE = "run `pipenv lock` to have it installed"


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """Layers, each upon the one before."""

    layers: tuple[Layer, ...] = ()
    what: str = ""
    """The files it follows, for people; empty when nothing is installed."""
    not_installed: Mapping[str, str] = field(default_factory=dict)
    """Files that might have been meant, each with what to do."""

    @property
    def line(self) -> str | None:
        """One line for the log; `None` when there is nothing to say."""
        left = "; ".join(f"{name} ({advice})" for name, advice in self.not_installed.items())
        if self.what:
            return f"ci: install: {self.what}" + (f"; not installed: {left}" if left else "")
        return f"ci: install: nothing; not installed: {left}" if left else None

    @property
    def advice(self) -> str:
        """What to do when it fails."""
        if any(layer.needs_project for layer in self.layers):
            return (
                "if the project is not meant to be installed, put `install = false` (or a list "
                'such as `["-r requirements.txt"]`) in the job\'s configuration, or use '
                "--no-install"
            )
        return ""


def install_plan(
    package: PackageSource, asked: Sequence[str] | None, *, with_locks: bool = True
) -> InstallPlan:
    """The plan for a package; `asked` are lines that replace what the project's files say.

    Raises SetupFailedError, PackageCorruptError.
    """
    with ProjectArchive(package.open()) as archive:
        return plan_of(ArchivedManifests(archive), asked, with_locks=with_locks)


def plan_of(
    manifests: Manifests, asked: Sequence[str] | None, *, with_locks: bool = True
) -> InstallPlan:
    """The plan for these files; without locks for an executor that has no tool to read them."""
    if asked is not None:
        what = f"{', '.join(asked)} (as `install` says)" if asked else ""
        return InstallPlan(layers_of_lines(manifests, asked), what)
    metadata = read_metadata(manifests)
    left = {name: advice for name, advice in _NOT_READ.items() if manifests.has(name)}
    if manifests.has("Pipfile") and not manifests.has(Lock.PIPENV):
        left["Pipfile"] = _PIPFILE
    locks = [lock for lock in Lock if manifests.has(lock) and _has_its_project(manifests, lock)]
    if locks and with_locks:
        left |= dict.fromkeys(locks[1:], f"{locks[0]} comes first")
        return InstallPlan(*locked_layers(manifests, locks[0], metadata), left)
    left |= dict.fromkeys(locks, "jobs are processes here, and pip does not read it")
    return _unlocked(manifests, metadata, left)


def failure(plan: InstallPlan, code: int) -> str:
    """Why there is no job, when an installation ended with this exit code, and what to do."""
    told = (
        f"installing {plan.what} failed with exit code {code}, so the job was not run; the end "
        "of the log shows why"
    )
    return f"{told}; {plan.advice}" if plan.advice else told


def _has_its_project(manifests: Manifests, lock: Lock) -> bool:
    """Whether what it is read together with is there, too."""
    return lock.project_file is None or manifests.has(lock.project_file)


def _unlocked(
    manifests: Manifests, metadata: ProjectMetadata | None, left: dict[str, str]
) -> InstallPlan:
    lines: list[str] = []
    what: list[str] = []
    requirements = manifests.read(FILE_NAME)
    has_requirements = requirements is not None and bool(
        read_requirements(manifests, FILE_NAME, requirements).lines
    )
    if has_requirements:
        lines.append(f"-r {FILE_NAME}")
        what.append(FILE_NAME)
    has_tests = False
    if not has_requirements and metadata is not None:
        lines, what, has_tests = _project_lines(manifests, metadata)
    for name in (name for name in TEST_FILES if manifests.has(name)):
        if has_tests:
            left.setdefault(name, "`install` can name it")
        else:
            lines.append(f"-r {name}")
            what.append(name)
            has_tests = True
    _name_others(manifests, lines, left)
    layers = layers_of_lines(manifests, lines)
    if metadata is not None and _has_poetry_groups(metadata):
        left["the groups of [tool.poetry]"] = "`poetry lock` makes a lock, which is read"
    if metadata is not None and (advice := _why_not_itself(manifests, metadata, lines)):
        left["the project itself"] = advice
    return InstallPlan(layers, " and ".join(what) if layers else "", left)


def _name_others(manifests: Manifests, lines: Sequence[str], left: dict[str, str]) -> None:
    """Add the files that look like requirements, and are not read, not even by those that are."""
    read = {FILE_NAME, *read_requirements(manifests, LINES, content_of(lines)).files}
    others = [path for path in manifests.matching(_OTHERS) if path not in read and path not in left]
    for path in sorted(others)[:_MOST_OTHERS]:
        left[path] = "`install` can name it"
    if len(others) > _MOST_OTHERS:
        left[f"{len(others) - _MOST_OTHERS} more such files"] = "`install` can name them"


def _why_not_itself(
    manifests: Manifests, metadata: ProjectMetadata, lines: Sequence[str]
) -> str | None:
    """What to do when a project might have been meant to be installed, and is not."""
    if not metadata.is_package:
        is_meant = has_sources(metadata, manifests)
        return "pyproject.toml has no [build-system]" if is_meant else None
    is_named = _names_the_top(manifests, lines)
    return None if is_named else "`-e .` in requirements.txt, or in `install`, installs it"


def _has_poetry_groups(metadata: ProjectMetadata) -> bool:
    table = metadata.tool.get("poetry")
    return isinstance(table, dict) and not table.keys().isdisjoint({"group", "dev-dependencies"})


def _names_the_top(manifests: Manifests, lines: Sequence[str]) -> bool:
    found = read_requirements(manifests, LINES, content_of(lines)).lines
    return any(line.local is not None and line.local.path == "." for line in found)


def _project_lines(
    manifests: Manifests, metadata: ProjectMetadata
) -> tuple[list[str], list[str], bool]:
    """Lines that install the project with what its tests need; the same in words; and whether
    there is something for its tests.
    """
    extra, group = metadata.test_extra, metadata.test_group
    source = _source(manifests)
    if not metadata.is_package:
        lines = metadata.needed([extra] if extra else [])
        what = f"the dependencies of {source}"
    else:
        lines = [f"-e .[{extra}]" if extra else "-e ."]
        what = f"the project (editable, {source})"
    if group:
        lines += metadata.groups[group]
    words = [what]
    if extra or group:
        words.append(f"its extra {extra!r}" if extra else f"its dependency group {group!r}")
    return lines, words if lines else [], bool(extra or group)


def _source(manifests: Manifests) -> str:
    names = ("pyproject.toml", "setup.py", "setup.cfg")
    return next((name for name in names if manifests.has(name)), names[0])
