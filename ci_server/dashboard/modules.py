"""The ES modules of a page, joined into few files when the server starts.

A page has dozens of small modules. Over a network, and in a browser that has just started, each
file costs more than what is in it. So each module becomes a function that returns what it exports,
and they run in the order in which they would run as modules. Nothing else is changed.

This reads the forms of `import` and `export` that our modules and those in `vendor/` have, and
refuses others: then the server does not start, and tests fail.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping

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


class _Source:
    """A module's text, in which comments of whole lines do not count."""

    def __init__(self, text: str) -> None:
        self._parts = _COMMENT.split(text)  # code and comments by turns

    @property
    def code(self) -> str:
        return "".join(self._parts[::2])

    def changed(self, change: Callable[[str], str]) -> str:
        """All of it, with the code changed."""
        return "".join(
            part if index % 2 else change(part) for index, part in enumerate(self._parts)
        )


class Modules:
    """The modules of the dashboard."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._sources = {
            path: _Source(content.decode())
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

    def needed_by(self, module: str) -> list[str]:
        """The modules that one imports; not those that it imports by `import()`."""
        code = self._sources[module].code
        paths = [path for _, path in _IMPORT.findall(code)]
        paths += [path for _, path in _EXPORT_LIST.findall(code) if path]
        return [_resolved(module, path) for path in paths]

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
            for each in self.needed_by(module):
                visit(each)
            done.add(module)
            found.append(module)

        for module in modules:
            visit(module)
        return found

    def _imported_later(self, modules: Iterable[str]) -> list[str]:
        found = (
            _resolved(module, path)
            for module in modules
            for path in _LATER.findall(self._sources[module].code)
        )
        return list(dict.fromkeys(found))

    def _file(self, path: str, placed: Mapping[str, str]) -> str:
        own = [module for module, place in placed.items() if place == path]
        needed = {each for module in own for each in self.needed_by(module)} - set(own)
        imports = [
            f'import {{ {_name(each)} }} from "{_relative(path, placed[each])}";\n'
            for each in sorted(needed)
        ]
        scopes = [_Scope(module, path, placed).text(self._sources[module]) for module in own]
        exports = ", ".join(map(_name, own))
        return "".join([*imports, *scopes, f"export {{ {exports} }};\n"])


class _Scope:
    """A module as a function that is called once, and returns what it exports."""

    def __init__(self, module: str, path: str, placed: Mapping[str, str]) -> None:
        self._module = module
        self._path = path
        self._placed = placed
        self._exported: list[str] = []

    def text(self, source: _Source) -> str:
        """Raises ModuleFormError."""
        body = source.changed(self._changed)
        name, exported = _name(self._module), ", ".join(self._exported)
        head = f"// {self._module}\nconst {name} = (() => {{\n"
        return f"{head}{body}\nreturn {{ {exported} }};\n}})();\n"

    def _changed(self, code: str) -> str:
        code = _IMPORT.sub(self._import, code)
        code = _EXPORT_LIST.sub(self._export_list, code)
        code = _EXPORT_DEFAULT.sub(self._export_default, code)
        code = _EXPORT.sub(self._export, code)
        code = _LATER.sub(self._later, code)
        if left := _LEFT.search(code):
            raise ModuleFormError(f"{self._module}: cannot join {left[0].strip()[:80]!r}")
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

    def _later(self, match: re.Match[str]) -> str:
        name = self._named(match[1])
        place = _relative(self._path, self._placed[_resolved(self._module, match[1])])
        return f'import("{place}").then(({{ {name} }}) => {name})'

    def _named(self, path: str) -> str:
        return _name(_resolved(self._module, path))


def _resolved(module: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(module), path))


def _relative(path: str, target: str) -> str:
    return "./" + posixpath.relpath(target, posixpath.dirname(path))


def _name(module: str) -> str:
    """What the module is called in files: no name that modules use has a dollar sign inside."""
    return "$" + module.removesuffix(".js").replace("/", "$")
