"""Which Debian mirror this machine is set up to use, read from apt's own files."""

from collections.abc import Iterator
from pathlib import Path

DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEFAULT_SUITE = "bookworm"
DEBIAN_COMPONENT = "main"


def suite(os_release: Path = Path("/etc/os-release")) -> str:
    """This machine's Debian release, or the default one where the machine is not Debian."""
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        return DEFAULT_SUITE
    fields = {key: value.strip("\"'") for key, _, value in (ln.partition("=") for ln in lines)}
    codename = fields.get("VERSION_CODENAME", "")
    return codename if fields.get("ID") == "debian" and codename else DEFAULT_SUITE


def mirror(wanted: str, apt_directory: Path = Path("/etc/apt")) -> str:
    """The first http(s) mirror configured for the suite `wanted`, or Debian's public one."""
    for uri, suites, components in _sources(apt_directory):
        if (
            wanted in suites
            and DEBIAN_COMPONENT in components
            and uri.startswith(("http://", "https://"))
        ):
            return uri
    return DEFAULT_MIRROR


def _sources(directory: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """(URI, suites, components) of every binary source, in the order apt reads them."""
    listed = directory / "sources.list.d"
    for path in [directory / "sources.list", *sorted(listed.glob("*.list"))]:
        yield from _one_line_style(_read(path))
    for path in sorted(listed.glob("*.sources")):
        yield from _deb822_style(_read(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _one_line_style(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """`deb [options] URI suite component…`"""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        rest = words[1:]
        if rest and rest[0].startswith("["):
            end = next((i for i, word in enumerate(rest) if word.endswith("]")), len(rest))
            rest = rest[end + 1 :]
        if len(rest) >= 2:
            yield rest[0], [rest[1]], rest[2:]


def _deb822_style(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Paragraphs of `Types:`, `URIs:`, `Suites:`, `Components:`."""
    for paragraph in text.split("\n\n"):
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        pairs = (line.partition(":") for line in lines)
        fields = {key.strip().lower(): value.split() for key, _, value in pairs}
        if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
            for uri in fields.get("uris", []):
                yield uri, fields.get("suites", []), fields.get("components", [])
