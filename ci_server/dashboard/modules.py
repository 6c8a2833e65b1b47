"""The ES modules of a page, joined into few files by the server.

A page has dozens of small modules. Over a network, and in a browser that has just started, each
file costs more than what is in it. So each module becomes a function that returns what it exports,
and they run in the order in which they would run as modules. Nothing else is changed.

This reads the forms of `import` and `export` that our modules and those in `vendor/` have, and
refuses others: tests tell.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from functools import cached_property

_START = r"(?:^|(?<=[;}]))"
_IMPORT = re.compile(_START + r'import\s*(\{[^}]*\}|\w+)\s*from\s*"(\.[^"]+)";', re.MULTILINE)
_EXPORT_LIST = re.compile(_START + r'export\s*\{([^}]*)\}(?:\s*from\s*"(\.[^"]+)")?;', re.MULTILINE)
_EXPORT_DEFAULT = re.compile(_START + r"export default (?=function\()", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)
_LATER = re.compile(r'\bimport\("(\.[^"]+)"\)')
_LEFT = re.compile(r"^\s*(?:import\b(?![.(])|export\b).*|^await\b.*", re.MULTILINE)
_COMMENT = re.compile(r"(^[ \t]*/\*.*?\*/)", re.MULTILINE | re.DOTALL)
_DEFAULT = "$default"


class ModuleFormError(Exception):
    """A module is written in a way that this does not know."""


class Modules:
    """The modules of the dashboard."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._modules = {
            path: _Module(path, content.decode())
            for path, content in files.items()
            if path.endswith(".js")
        }

    def joined(self, files: Mapping[str, Iterable[str]], later: str) -> dict[str, bytes]:
        """Files by path. `files` names for each, in the order in which they run, the modules it is
        for: it gets them, and what they need and no file before has. `later` is the file for what
        these import by `import()`, if there is any.
        """
        placed: dict[str, str] = {}
        wanted = {path: list(modules) for path, modules in files.items()}
        for path, modules in wanted.items():
            placed |= dict.fromkeys(self._in_order(modules, placed), path)
        if by_and_by := self._imported_later(placed):
            placed |= dict.fromkeys(self._in_order(by_and_by, placed), later)
            wanted[later] = by_and_by
        return {path: self._file(path, placed).encode() for path in wanted}

    def _in_order(self, modules: Iterable[str], known: Iterable[str]) -> list[str]:
        """These and what they need besides what is known, each behind what it needs."""
        found: list[str] = []
        done, under_way = set(known), set[str]()

        def visit(module: str) -> None:
            if module in done:
                return
            if module in under_way:
                raise ModuleFormError(f"{module} imports itself, by way of others")
            under_way.add(module)
            for each in self._modules[module].needed:
                visit(each)
            done.add(module)
            found.append(module)

        for module in modules:
            visit(module)
        return found

    def _imported_later(self, modules: Iterable[str]) -> list[str]:
        found = (later for module in modules for later in self._modules[module].needed_later)
        return list(dict.fromkeys(found))

    def _file(self, path: str, placed: Mapping[str, str]) -> str:
        own = [module for module, place in placed.items() if place == path]
        needed = {each for module in own for each in self._modules[module].needed} - set(own)
        imports = [
            f'import {{ {_name(each)} }} from "{_relative(path, placed[each])}";\n'
            for each in sorted(needed)
        ]
        scopes = [self._modules[module].scope(path, placed) for module in own]
        exports = ", ".join(map(_name, own))
        return "".join([*imports, *scopes, f"export {{ {exports} }};\n"])


class _Module:
    """A module's text, in which comments of whole lines do not count."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._parts = _COMMENT.split(text)  # code and comments by turns
        self._exported: list[str] = []

    @cached_property
    def needed(self) -> list[str]:
        """The modules that it imports; not those that it imports by `import()`."""
        code = "".join(self._parts[::2])
        paths = [path for _, path in _IMPORT.findall(code)]
        paths += [path for _, path in _EXPORT_LIST.findall(code) if path]
        return [self._resolved(path) for path in paths]

    @cached_property
    def needed_later(self) -> list[str]:
        """Those that it imports by `import()`."""
        return [self._resolved(path) for path in _LATER.findall("".join(self._parts[::2]))]

    def scope(self, file: str, placed: Mapping[str, str]) -> str:
        """It as a function that is called once, and returns what it exports, for a file. `placed`
        tells the files of modules. Raises ModuleFormError.
        """

        def later(match: re.Match[str]) -> str:
            name, needed = self._named(match[1]), self._resolved(match[1])
            return f'import("{_relative(file, placed[needed])}").then(({{ {name} }}) => {name})'

        parts = [
            part if index % 2 else _LATER.sub(later, part) for index, part in enumerate(self._body)
        ]
        name, exported, body = _name(self._path), ", ".join(self._exported), "".join(parts)
        head = f"// {self._path}\nconst {name} = (() => {{\n"
        return f"{head}{body}\nreturn {{ {exported} }};\n}})();\n"

    @cached_property
    def _body(self) -> list[str]:
        return [
            part if index % 2 else self._changed(part) for index, part in enumerate(self._parts)
        ]

    def _changed(self, code: str) -> str:
        code = _IMPORT.sub(self._import, code)
        code = _EXPORT_LIST.sub(self._export_list, code)
        code = _EXPORT_DEFAULT.sub(self._export_default, code)
        code = _EXPORT.sub(self._export, code)
        if left := _LEFT.search(code):
            raise ModuleFormError(f"{self._path}: cannot join {left[0].strip()[:80]!r}")
        return code

    def _import(self, match: re.Match[str]) -> str:
        what, source = match.groups()
        if what.startswith("{"):
            names = re.sub(r"\s+as\s+", ": ", " ".join(what.split()))
        else:
            names = f"{{ default: {what} }}"
        return f"const {names} = {self._named(source)};"

    def _export_list(self, match: re.Match[str]) -> str:
        names, source = match.groups()
        origin = f"{self._named(source)}." if source else ""
        for name in filter(None, map(str.strip, names.split(","))):
            inner, _, outer = name.partition(" as ")
            self._exported.append(f"{outer or inner}: {origin}{inner}")
        return ""

    def _export_default(self, _: re.Match[str]) -> str:
        self._exported.append(f"default: {_DEFAULT}")
        return f"const {_DEFAULT} = "

    def _export(self, match: re.Match[str]) -> str:
        self._exported.append(match[1])
        return ""

    def _named(self, path: str) -> str:
        return _name(self._resolved(path))

    def _resolved(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(self._path), path))


def _relative(path: str, target: str) -> str:
    return "./" + posixpath.relpath(target, posixpath.dirname(path))


def _name(module: str) -> str:
    """What the module is called in files: no name that modules use has a dollar sign inside."""
    return "$" + module.removesuffix(".js").replace("/", "$")
