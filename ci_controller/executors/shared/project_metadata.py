"""What a project's own files say of its dependencies, without running anything of it."""

import ast
import configparser
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ci_common.bounded_toml import read_toml
from ci_common.errors import SetupFailedError
from ci_common.install_files import TEST_NAMES
from ci_controller.executors.shared.manifests import Manifests, in_directory
from ci_controller.executors.shared.requirements import file_lines

_LEGACY_BUILD = ("setuptools>=40.8.0", "wheel")
_EDITABLE_BUILD = {"hatchling": ("editables",), "setuptools": ("wheel",)}
"""What backends ask for in addition before they build an editable installation."""
_DEEPEST = 20
_LARGEST_PROGRAM_BYTES = 1 << 18


@dataclass(slots=True)
class ProjectMetadata:
    """Of one directory with a pyproject.toml, setup.cfg or setup.py."""

    name: str | None = None
    dependencies: list[str] = field(default_factory=list)
    extras: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    build_requires: list[str] = field(default_factory=list)
    is_complete: bool = True
    """Whether these are all dependencies; otherwise only a build tells."""
    is_package: bool = False
    """Whether it says how to build it; otherwise there are dependencies only, as uv has it."""
    tool: Mapping[str, Any] = field(default_factory=dict)

    def needed(self, extras: Iterable[str] = ()) -> list[str]:
        """The requirements of the package with these extras, which may name each other."""
        found = list(self.dependencies)
        waiting = [canonicalize_name(extra) for extra in extras]
        seen: set[str] = set()
        while waiting:
            extra = waiting.pop(0)
            if extra in seen:
                continue
            seen.add(extra)
            for text in self.extras.get(extra, ()):
                requirement = Requirement(text)
                if self.name and canonicalize_name(requirement.name) == self.name:
                    waiting += [canonicalize_name(one) for one in requirement.extras]
                else:
                    found.append(text)
        return list(dict.fromkeys(found))

    @property
    def test_extra(self) -> str | None:
        """The name of the extra for tests, unless a group is to be taken, or neither exists."""
        for name in TEST_NAMES:
            if name in self.extras:
                return name
            if name in self.groups:
                return None
        return None

    @property
    def test_group(self) -> str | None:
        """The name of the dependency group for tests, when no extra comes before it."""
        if self.test_extra is not None:
            return None
        return next((name for name in TEST_NAMES if name in self.groups), None)


def read_metadata(manifests: Manifests, directory: str = ".") -> ProjectMetadata | None:
    """What the files say; `None` when there are none, or nothing in them is about a package.

    Raises SetupFailedError when pyproject.toml is no TOML.
    """
    table = _pyproject(manifests, directory)
    setup_cfg = manifests.read(in_directory(directory, "setup.cfg"))
    setup_py = manifests.read(in_directory(directory, "setup.py"))
    project = table.get("project")
    poetry = _table(table, "tool", "poetry")
    is_declared = isinstance(project, dict) or "build-system" in table or bool(poetry)
    groups = table.get("dependency-groups")
    is_legacy = setup_py is not None or _is_package_cfg(setup_cfg)
    if not is_declared and not is_legacy and not groups:
        return None
    found = ProjectMetadata(tool=_table(table, "tool"))
    found.groups = _groups({**_tool_groups(found.tool), **_table(table, "dependency-groups")})
    found.build_requires = _build_requires(table)
    found.is_package = "build-system" in table or is_legacy
    if isinstance(project, dict):
        _read_project(found, project, manifests, directory)
    elif poetry:
        found.is_complete = False
        found.name = _name(poetry)
        found.extras = {canonicalize_name(str(name)): [] for name in _table(poetry, "extras")}
        found.is_package = poetry.get("package-mode") is not False
    elif setup_py is not None:
        _read_setup_py(found, setup_py)
        if setup_cfg is not None:
            _read_setup_cfg(found, setup_cfg)
    elif setup_cfg is not None:
        _read_setup_cfg(found, setup_cfg)
    elif is_declared:
        found.is_complete = False  # what the backend knows
    return found


def has_sources(found: ProjectMetadata, manifests: Manifests) -> bool:
    """Whether there is a package of the project's name where only an installation finds it."""
    name = (found.name or "").replace("-", "_")
    return any(manifests.has(f"src/{name}{end}") for end in ("/__init__.py", ".py"))


def _pyproject(manifests: Manifests, directory: str) -> dict[str, Any]:
    path = in_directory(directory, "pyproject.toml")
    content = manifests.read(path)
    if content is None:
        return {}
    try:
        return read_toml(content)
    except (ValueError, RecursionError) as error:
        raise SetupFailedError(f"{path} is not valid TOML: {str(error)[:500]}") from error


def _read_project(
    found: ProjectMetadata, project: Mapping[str, Any], manifests: Manifests, directory: str
) -> None:
    found.name = _name(project)
    dynamic = project.get("dynamic")
    dynamic = dynamic if isinstance(dynamic, list) else []
    found.dependencies = found_requirements(found, project.get("dependencies", []))
    for extra, texts in _table(project, "optional-dependencies").items():
        found.extras[canonicalize_name(extra)] = found_requirements(found, texts)
    if "dependencies" in dynamic:
        lines = _dynamic_lines(found, manifests, directory)
        if lines is None:
            found.is_complete = False
        else:
            found.dependencies = found_requirements(found, lines)
    if "optional-dependencies" in dynamic:
        found.is_complete = False
    sources = {str(canonicalize_name(name)) for name in _table(found.tool, "uv", "sources")}
    if sources:
        # Only the installer of the project knows where these come from.
        found.is_complete = False
        found.dependencies = _without(found.dependencies, sources)
        found.extras = {name: _without(texts, sources) for name, texts in found.extras.items()}


def _without(texts: list[str], names: Collection[str]) -> list[str]:
    return [text for text in texts if canonicalize_name(Requirement(text).name) not in names]


def _dynamic_lines(
    found: ProjectMetadata, manifests: Manifests, directory: str
) -> list[str] | None:
    """The lines of the files that setuptools is to read dependencies from."""
    names = _table(found.tool, "setuptools", "dynamic", "dependencies").get("file")
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list):
        return None
    contents = [manifests.read(in_directory(directory, str(name))) for name in names]
    if None in contents:
        return None
    return [line for content in contents for line in file_lines(content or b"")]


def _read_setup_cfg(found: ProjectMetadata, content: bytes) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(content.decode())
    except (configparser.Error, UnicodeDecodeError):
        found.is_complete = False
        return
    found.name = found.name or _name(dict(parser["metadata"]) if "metadata" in parser else {})
    found.dependencies += found_requirements(
        found, _cfg_lines(parser.get("options", "install_requires", fallback=""))
    )
    if parser.has_section("options.extras_require"):
        for extra, text in parser.items("options.extras_require"):
            found.extras[canonicalize_name(extra)] = found_requirements(found, _cfg_lines(text))


def _cfg_lines(text: str) -> list[str]:
    separator = "\n" if "\n" in text else ";"
    return [line.strip() for line in text.split(separator) if line.strip()]


def _read_setup_py(found: ProjectMetadata, content: bytes) -> None:
    """What is written out in the call of `setup`. A program may say more: never complete."""
    found.is_complete = False
    if len(content) > _LARGEST_PROGRAM_BYTES:
        return
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node.func) == "setup":
            literal = {word.arg: _literal(word.value) for word in node.keywords if word.arg}
            found.name = _name(literal)
            found.dependencies = found_requirements(found, literal.get("install_requires"))
            for extra, texts in _table(literal, "extras_require").items():
                found.extras[canonicalize_name(str(extra))] = found_requirements(found, texts)
            return


def _called(function: ast.expr) -> str | None:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else None


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def found_requirements(found: ProjectMetadata, texts: object) -> list[str]:
    """Those that an index serves; when there are others, the metadata is not complete."""
    if not isinstance(texts, list):
        found.is_complete = found.is_complete and texts is None
        return []
    good = []
    for text in texts:
        try:
            url = Requirement(text).url if isinstance(text, str) else "file:"
        except (InvalidRequirement, RecursionError):
            found.is_complete = False
            continue
        if url is not None and url.startswith("file:"):
            found.is_complete = False
            continue
        good.append(text)
    return good


def _groups(groups: Mapping[str, object]) -> dict[str, list[str]]:
    """The requirements of each dependency group, with those of the groups it includes."""
    named = {str(canonicalize_name(name)): entries for name, entries in groups.items()}
    return {name: list(dict.fromkeys(_group(named, name, 0))) for name in named}


def _tool_groups(tool: Mapping[str, Any]) -> dict[str, object]:
    """As uv and PDM had them before there were dependency groups."""
    own = _table(tool, "uv").get("dev-dependencies")
    return {**_table(tool, "pdm", "dev-dependencies"), **({"dev": own} if own else {})}


def _group(named: Mapping[str, object], name: str, depth: int) -> list[str]:
    entries = named.get(name)
    if not isinstance(entries, list) or depth > _DEEPEST:
        return []
    found: list[str] = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(entry)
        elif isinstance(entry, dict) and "include-group" in entry:
            found += _group(named, canonicalize_name(str(entry["include-group"])), depth + 1)
    return found


def _build_requires(table: Mapping[str, Any]) -> list[str]:
    if "build-system" not in table:
        return list(_LEGACY_BUILD)
    requires = _table(table, "build-system").get("requires")
    texts = [text for text in requires if isinstance(text, str)] if requires else []
    more = [
        extra
        for text in texts
        for backend, extras in _EDITABLE_BUILD.items()
        if re.fullmatch(rf"{backend}(?![\w.-]).*", text)
        for extra in extras
    ]
    return [*texts, *more]


def _is_package_cfg(content: bytes | None) -> bool:
    return content is not None and re.search(rb"^\[(metadata|options)\]", content, re.M) is not None


def _name(table: Mapping[str, Any]) -> str | None:
    name = table.get("name")
    return canonicalize_name(name) if isinstance(name, str) else None


def _table(table: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A table in a table; an empty one where there is none."""
    for key in keys:
        inner = table.get(key)
        table = inner if isinstance(inner, dict) else {}
    return dict(table)
