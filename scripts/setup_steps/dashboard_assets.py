"""The libraries that the dashboard's pages load: committed, so that no build and no other server is
needed. Needs npm, which nothing else does.
"""

import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from setup_steps.console import SetupError, run_quietly, step
from setup_steps.paths import ROOT

VENDOR = ROOT / "ci_server" / "dashboard" / "static" / "vendor"
LICENSES = "LICENSES.txt"


class Package(NamedTuple):
    """A package of npm at one version, its licence, and which of its files are taken as what."""

    name: str
    version: str
    license: str
    files: dict[str, str]


PACKAGES = (
    Package(
        "preact",
        "10.29.8",
        "MIT",
        {"dist/preact.module.js": "preact.js", "hooks/dist/hooks.module.js": "hooks.js"},
    ),
    Package("htm", "3.1.1", "Apache-2.0", {"dist/htm.module.js": "htm.js"}),
    Package(
        "uplot",
        "1.6.32",
        "MIT",
        {"dist/uPlot.esm.js": "uplot.js", "dist/uPlot.min.css": "uplot.css"},
    ),
)

_REWRITTEN = ((b'from"preact"', b'from"./preact.js"'),)
"""Browsers do not know names of packages."""


def write() -> None:
    """Write the files. Raises SetupError."""
    with step("fetching the dashboard's libraries"), tempfile.TemporaryDirectory() as directory:
        VENDOR.mkdir(parents=True, exist_ok=True)
        for name, content in _fetched(Path(directory)):
            (VENDOR / name).write_bytes(content)


def check() -> None:
    """Raise SetupError unless the committed files are what npm has."""
    with tempfile.TemporaryDirectory() as directory:
        fetched = dict(_fetched(Path(directory)))
    committed = {path.name: path.read_bytes() for path in VENDOR.iterdir()}
    if different := sorted(name for name, _ in fetched.items() ^ committed.items()):
        raise SetupError(
            f"{', '.join(dict.fromkeys(different))} in {VENDOR.relative_to(ROOT)} is not what npm "
            "has; write it again with scripts/dashboard-assets"
        )


def _fetched(directory: Path) -> Iterator[tuple[str, bytes]]:
    licenses = []
    for package in PACKAGES:
        wanted = f"{package.name}@{package.version}"
        run_quietly(
            ["npm", "pack", "--pack-destination", str(directory), wanted],
            failure=f"cannot fetch {wanted} from npm",
        )
        with tarfile.open(directory / f"{package.name}-{package.version}.tgz") as archive:
            for source, target in package.files.items():
                yield target, _rewritten(_member(archive, source))
            text = _member(archive, "LICENSE").decode()
        licenses.append(f"{wanted} ({package.license}): {', '.join(package.files.values())}\n\n")
        licenses.append(text.strip() + f"\n\n{'-' * 80}\n\n")
    yield LICENSES, "".join(licenses).encode()


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise SetupError(f"{name} in {archive.name!r} is no file")
    return file.read()


def _rewritten(content: bytes) -> bytes:
    for old, new in _REWRITTEN:
        content = content.replace(old, new)
    lines = content.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"//# sourceMappingURL="))
