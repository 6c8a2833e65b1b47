"""How large a project may be, and what makes it larger."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ci_client.errors import ProjectTooLarge
from ci_client.packing.project_files import ProjectFile

_NAMED = 3


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What a server accepts; `None` where that is not known."""

    max_files: int | None = None
    max_unpacked_bytes: int | None = None
    max_upload_bytes: int | None = None
    """Of the zip."""

    def check(self, files: Iterable[ProjectFile]) -> None:
        """Raise ProjectTooLarge when there is more than a server would unpack."""
        sizes = {file.name: file.info.st_size for file in files}
        if self.max_files is not None and len(sizes) > self.max_files:
            counts = Counter(_directory(name) for name in sizes)
            raise _too_large(
                f"The project has {len(sizes)} files; the server accepts at most {self.max_files}.",
                [f"{name} ({count} files)" for name, count in counts.most_common(_NAMED)],
            )
        total = sum(sizes.values())
        if self.max_unpacked_bytes is not None and total > self.max_unpacked_bytes:
            raise _too_large(
                f"The project has {_mib(total)} MiB; the server accepts at most "
                f"{_mib(self.max_unpacked_bytes)} MiB unpacked.",
                largest(sizes),
            )

    def check_packed(self, size: int, files: Iterable[ProjectFile]) -> None:
        """Raise ProjectTooLarge when the zip, which has `size` bytes so far, is too large."""
        if self.max_upload_bytes is not None and size > self.max_upload_bytes:
            self.check_zip(size, {file.name: file.info.st_size for file in files})

    def check_zip(self, size: int, sizes: Mapping[str, int]) -> None:
        """Raise ProjectTooLarge when a zip of `size` bytes is too large. `sizes` has that of each
        file in it, by its name.
        """
        if self.max_upload_bytes is not None and size > self.max_upload_bytes:
            raise _too_large(
                "The zip of the project is larger than the "
                f"{_mib(self.max_upload_bytes)} MiB that the server accepts.",
                largest(sizes),
            )


def largest(sizes: Mapping[str, int]) -> list[str]:
    """The largest directories and files at the top of the project, for people."""
    totals: Counter[str] = Counter()
    for name, size in sizes.items():
        totals[_directory(name)] += size
    least = sum(sizes.values()) / 100
    return [
        f"{name} ({_mib(size)} MiB)" for name, size in totals.most_common(_NAMED) if size >= least
    ]


def _directory(name: str) -> str:
    """Up to two directories deep: `data/raw/` says more than `data/`."""
    *parents, own = name.split("/")
    return "/".join(parents[:2]) + "/" if parents else own


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f}" if size >= 10 << 20 else f"{size / 2**20:.1f}"


def _too_large(what: str, names: list[str]) -> ProjectTooLarge:
    return ProjectTooLarge(
        f"{what} Largest: {', '.join(names)}. Exclude what the job does not need with --exclude "
        "PATTERN, `exclude` in [tool.ci] or ci.toml, or a .gitignore file."
    )
