"""The layers of a lock file: its versions, and upon them the project itself."""

import re
from dataclasses import replace

from ci_common.install_files import TEST_NAMES, Lock
from ci_controller.executors.shared.install_layers import (
    BUILD,
    PROJECT,
    Layer,
    Step,
    content_of,
)
from ci_controller.executors.shared.manifests import Manifests
from ci_controller.executors.shared.project_metadata import ProjectMetadata

_LOCAL_SOURCE = re.compile(
    r'^\s*(type\s*=\s*"(directory|file)"|path\s*=\s*"|directory\s*=\s*\{)'
    r'|"path":\s*"|source\s*=\s*\{\s*(editable|directory|path|virtual)\s*=\s*"(?!\.")',
    re.MULTILINE,
)
"""A lock's entry for something in the project, besides the project itself."""


def locked_layers(
    manifests: Manifests, lock: Lock, metadata: ProjectMetadata | None
) -> tuple[tuple[Layer, ...], str]:
    """The layers, and in words what they hold."""
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
    return layers, " and ".join(words)


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
    return {BUILD: content_of(texts)} if texts else {}


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
