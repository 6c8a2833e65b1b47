"""What is installed of a project before its job: which layers, from which files, and why.

Nothing is run here: the plan follows from the files alone, and executors carry it out.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ci_common.ports.packages import PackageSource
from ci_controller.executors.shared.manifests import ArchivedManifests, Manifests
from ci_controller.executors.shared.project_archive import ProjectArchive
from ci_controller.executors.shared.project_metadata import (
    TEST_NAMES,
    ProjectMetadata,
    has_sources,
    read_metadata,
)
from ci_controller.executors.shared.requirements import (
    FILE_NAME,
    Kind,
    LocalPackage,
    RequirementLines,
    read_requirements,
)

LINES = ".ci-install.txt"
"""Lines that are in no file of the project: those of `install`, or that this module found."""
DEPENDENCIES = ".ci-dependencies.txt"
BUILD = ".ci-build.txt"
PROJECT = ".ci-project.txt"

_VERSION = "2"
"""Of how a plan is carried out: another one makes other layers."""

_TEST_FILES = tuple(
    pattern.format(name)
    for pattern in (
        "requirements-{}.txt",
        "requirements_{}.txt",
        "{}-requirements.txt",
        "requirements/{}.txt",
    )
    for name in TEST_NAMES
)

_NOT_READ = {
    "environment.yml": "a conda environment: use an image that has it, or a requirements.txt",
    "environment.yaml": "a conda environment: use an image that has it, or a requirements.txt",
    "conda-lock.yml": "a conda environment: use an image that has it, or a requirements.txt",
    "requirements.in": "compile it to requirements.txt",
}
_PIPFILE = "run `pipenv lock` to have it installed"
_LOCAL_SOURCE = re.compile(
    r'^\s*(type\s*=\s*"(directory|file)"|path\s*=\s*"|directory\s*=\s*\{)'
    r'|"path":\s*"|source\s*=\s*\{\s*(editable|directory|path|virtual)\s*=\s*"(?!\.")',
    re.MULTILINE,
)
"""A lock's entry for something in the project, besides the project itself."""


class Lock(StrEnum):
    """A lock file, by its name, in the order in which they are looked for."""

    UV = "uv.lock"
    POETRY = "poetry.lock"
    PDM = "pdm.lock"
    PIPENV = "Pipfile.lock"
    PYLOCK = "pylock.toml"


@dataclass(frozen=True, slots=True)
class Step:
    """One installation."""

    arguments: tuple[str, ...]
    """pip's, such as `-r requirements.txt`; with a lock, those of its export."""
    lock: Lock | None = None
    """What is installed is what this says."""
    without_dependencies: bool = False
    builds_project: bool = False
    """The build backend is there already, so that the build needs nothing else."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What is installed together, and is the same again as long as nothing of it changes."""

    steps: tuple[Step, ...]
    files: Mapping[str, bytes]
    """By path in the project. Of a layer that needs the project: in addition to its own."""
    needs_project: bool = False

    def key(self, package_sha256: str, *context: str) -> str:
        """Equal keys mean that one installation serves both; `context` is what else matters."""
        digest = hashlib.sha256()
        parts = [_VERSION.encode(), repr(self.steps).encode()]
        parts += [part.encode(errors="surrogateescape") for part in context]
        for name in sorted(self.files):
            parts += [name.encode(), self.files[name]]
        if self.needs_project:
            parts.append(package_sha256.encode())
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()[:32]


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
                'such as `["-r requirements.txt"]`) in the job\'s table, or use --no-install'
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
        return InstallPlan(_layers_of_lines(manifests, asked), what)
    metadata = read_metadata(manifests)
    left = {name: advice for name, advice in _NOT_READ.items() if manifests.has(name)}
    if manifests.has("Pipfile") and not manifests.has(Lock.PIPENV):
        left["Pipfile"] = _PIPFILE
    locks = [lock for lock in Lock if manifests.has(lock) and _has_its_project(manifests, lock)]
    if locks and with_locks:
        left |= dict.fromkeys(locks[1:], f"{locks[0]} comes first")
        return replace(_locked(manifests, locks[0], metadata), not_installed=left)
    left |= dict.fromkeys(locks, "jobs are processes here, and pip does not read it")
    return _unlocked(manifests, metadata, left)


def failure(plan: InstallPlan, code: int) -> str:
    """Why there is no job, when an installation ended with this exit code, and what to do."""
    told = (
        f"installing {plan.what} failed with exit code {code}, so the job was not run; "
        "the end of the log tells why"
    )
    return f"{told}; {plan.advice}" if plan.advice else told


def _has_its_project(manifests: Manifests, lock: Lock) -> bool:
    """A lock of uv, Poetry or PDM is read together with pyproject.toml."""
    if lock is Lock.PIPENV:
        return manifests.has("Pipfile")
    return lock is Lock.PYLOCK or manifests.has("pyproject.toml")


# ------------------------------------------------------------------ without a lock


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
    for name in (name for name in _TEST_FILES if manifests.has(name)):
        if has_tests:
            left.setdefault(name, "`install` can name it")
        else:
            lines.append(f"-r {name}")
            what.append(name)
            has_tests = True
    layers = _layers_of_lines(manifests, lines)
    if metadata is not None and _has_poetry_groups(metadata):
        left["the groups of [tool.poetry]"] = "`poetry lock` makes a lock, which is read"
    if metadata is not None and (advice := _why_not_itself(manifests, metadata, lines)):
        left["the project itself"] = advice
    return InstallPlan(layers, " and ".join(what) if layers else "", left)


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
    found = read_requirements(manifests, LINES, _content(lines)).lines
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


# ------------------------------------------------------------------ requirement lines


def _layers_of_lines(manifests: Manifests, lines: Sequence[str]) -> tuple[Layer, ...]:
    """A layer of what needs no project file, and upon it one of what does."""
    if not lines:
        return ()
    single = re.fullmatch(r"-r (\S+)", lines[0]) if len(lines) == 1 else None
    name, content = LINES, _content(lines)
    if single is not None and (own := manifests.read(single[1])) is not None:
        name, content = single[1], own
    found = read_requirements(manifests, name, content)
    if not found.of(Kind.INDEX, Kind.LOCAL, Kind.OTHER):
        return ()
    if found.of(Kind.OTHER):
        files = {LINES: content} if name == LINES else {}
        return (Layer((Step(("-r", name)),), files, needs_project=True),)
    if not found.of(Kind.LOCAL):
        return (Layer((Step(("-r", name)),), found.files),)
    return _split(manifests, found)


def _split(manifests: Manifests, found: RequirementLines) -> tuple[Layer, ...]:
    locals_ = [line.local for line in found.of(Kind.LOCAL)]
    described = [(one, _described(manifests, one)) for one in locals_ if one is not None]
    needed = [text for one, metadata in described for text in metadata.needed(one.extras)]
    builds = [text for _, metadata in described for text in metadata.build_requires]
    own = {metadata.name for _, metadata in described}
    needed = [text for text in dict.fromkeys(needed) if _project_name(text) not in own]
    is_complete = len(described) == len(locals_) and all(
        metadata.is_complete and set(one.extras) <= set(metadata.extras)
        for one, metadata in described
    )
    options = [line.text for line in found.of(Kind.OPTION)]
    plain = [line.text for line in found.of(Kind.INDEX)]
    files, steps = dict(found.constraints), []
    groups = {BUILD: list(dict.fromkeys(builds)), LINES: [*plain, *needed]}
    if found.has_hashes:  # then pip wants one of each line of the file
        groups = {BUILD: groups[BUILD], LINES: plain, DEPENDENCIES: needed}
    unhashed = [text for text in options if not text.startswith("--require-hashes")]
    for name, texts in groups.items():
        if texts:
            head = options if name == LINES else unhashed
            files[name] = _content([*head, *texts])
            steps.append(Step(("-r", name)))
    local_lines = [line.text for line in found.of(Kind.LOCAL)]
    project = Layer(
        (
            Step(
                ("-r", PROJECT),
                without_dependencies=is_complete,
                builds_project=True,
            ),
        ),
        {PROJECT: _content([*unhashed, *local_lines])},
        needs_project=True,
    )
    return (*([Layer(tuple(steps), files)] if steps else []), project)


def _described(manifests: Manifests, local: LocalPackage) -> ProjectMetadata:
    return read_metadata(manifests, local.path) or ProjectMetadata(is_complete=False)


def _project_name(text: str) -> str | None:
    match = re.match(r"[A-Za-z0-9._-]+", text)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else None


def _content(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")


# ------------------------------------------------------------------ locks


def _locked(manifests: Manifests, lock: Lock, metadata: ProjectMetadata | None) -> InstallPlan:
    content = manifests.read(lock) or b""
    extra = metadata.test_extra if metadata else None
    options = _lock_options(lock, metadata)
    files = {
        name: found
        for name in (lock, _manifest_of(lock))
        if name and (found := manifests.read(name)) is not None
    }
    has_locals = _LOCAL_SOURCE.search(content.decode(errors="replace")) is not None
    package = metadata if metadata is not None and _is_installed(lock, metadata) else None
    words = [f"{lock} (frozen)"]
    if extra:
        words.append(f"its extra {extra!r}")
    if lock is Lock.UV:
        layers = _uv_layers(manifests, options, files, package, has_locals)
    else:
        steps = [Step(options, lock)]
        layers = (Layer(tuple(_with_build(steps, package)), files | _build_file(package)),)
        if has_locals:
            layers = (replace(layers[0], needs_project=True),)
        if package is not None:
            layers += (_editable(),)
    if package is not None:
        words.append("the project (editable)")
    return InstallPlan(layers, " and ".join(words))


def _uv_layers(
    manifests: Manifests,
    options: tuple[str, ...],
    files: dict[str, bytes],
    package: ProjectMetadata | None,
    has_locals: bool,
) -> tuple[Layer, ...]:
    if has_locals:  # other members of the workspace: their manifests are read together
        for path in manifests.named("pyproject.toml"):
            if (content := manifests.read(path)) is not None:
                files[path] = content
    steps = [Step((*options, "--no-emit-local"), Lock.UV)]
    first = Layer(tuple(_with_build(steps, package)), files | _build_file(package))
    if has_locals:
        project = Step((*options, "--no-hashes"), Lock.UV, True, builds_project=True)
        return (first, Layer((project,), {}, needs_project=True))
    return (first, _editable()) if package is not None else (first,)


def _is_installed(lock: Lock, metadata: ProjectMetadata) -> bool:
    """Whether the lock's own tool would install the project itself."""
    if lock is Lock.UV:
        declared = _flag(metadata, "uv", "package")
        return metadata.is_package if declared is None else declared
    if lock is Lock.POETRY and _flag(metadata, "poetry", "package-mode") is False:
        return False
    if lock is Lock.PDM and _flag(metadata, "pdm", "distribution") is False:
        return False
    return metadata.is_package


def _flag(metadata: ProjectMetadata, tool: str, name: str) -> bool | None:
    table = metadata.tool.get(tool)
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, bool) else None


def _editable() -> Layer:
    step = Step(("-r", PROJECT), without_dependencies=True, builds_project=True)
    return Layer((step,), {PROJECT: b"-e .\n"}, needs_project=True)


def _with_build(steps: list[Step], package: ProjectMetadata | None) -> list[Step]:
    return [Step(("-r", BUILD)), *steps] if package and package.build_requires else steps


def _build_file(package: ProjectMetadata | None) -> dict[str, bytes]:
    texts = package.build_requires if package else []
    return {BUILD: _content(texts)} if texts else {}


def _manifest_of(lock: Lock) -> str | None:
    if lock is Lock.PIPENV:
        return "Pipfile"
    return None if lock is Lock.PYLOCK else "pyproject.toml"


def _lock_options(lock: Lock, metadata: ProjectMetadata | None) -> tuple[str, ...]:
    """What of a lock is wanted: what its tool installs by itself, and what tests need."""
    extra = metadata.test_extra if metadata else None
    group = metadata.test_group if metadata else None
    if lock is Lock.UV:
        return (
            *(("--extra", extra) if extra else ()),
            *(("--group", group) if group else ()),
        )
    if lock is Lock.POETRY and metadata is not None:
        groups = _poetry_groups(metadata)
        return (
            *(("--with", ",".join(groups)) if groups else ()),
            *(("--extras", extra) if extra else ()),
        )
    if lock is Lock.PDM:
        return ("-G", extra) if extra else ()
    return ()


def _poetry_groups(metadata: ProjectMetadata) -> list[str]:
    """All that are not optional, and those for tests."""
    table = metadata.tool.get("poetry")
    table = table if isinstance(table, dict) else {}
    found = dict.fromkeys(metadata.groups)
    if isinstance(table.get("dev-dependencies"), dict):
        found["dev"] = None
    own = table.get("group")
    for name, group in own.items() if isinstance(own, dict) else ():
        is_optional = isinstance(group, dict) and group.get("optional") is True
        if not is_optional or name in TEST_NAMES:
            found[str(name)] = None
    return list(found)
