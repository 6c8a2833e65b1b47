"""A package as a tar: the same files, in one pass and constant memory."""

import io
import random
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_common.errors import PackageCorruptError
from ci_controller.executors.docker.project_tar import project_tar
from ci_controller.executors.docker.tar_header import tar_header
from ci_controller.executors.shared.interruption import InterruptedWorkError, Interruption
from ci_controller.executors.shared.project_archive import ProjectArchive
from ci_server.submission.package_check import PackageLimits, check_package
from support.archives import entry, with_size, zip_bytes

LIMITS = PackageLimits(max_entries=100_000, max_unpacked_bytes=1 << 30, max_ratio=2000)

_PARTS = st.sampled_from(["a", "b.py", "ä", "日本", "with space", "n" * 99, "m" * 101, "é" * 127])
_PATHS = st.lists(_PARTS, min_size=1, max_size=4).map("/".join)


@dataclass(frozen=True)
class Item:
    """An entry to be made: a file, a directory, or a link."""

    kind: int
    mode: int
    content: bytes
    compression: int
    zip64: bool
    extra: bytes


_ITEMS = st.builds(
    Item,
    kind=st.sampled_from([stat.S_IFREG] * 4 + [stat.S_IFDIR, stat.S_IFLNK]),
    mode=st.integers(0, 0o777),
    content=st.sampled_from([0, 1, 511, 512, 513, 70_000, 300_000])
    .map(lambda size: random.Random(size).randbytes(size))
    .flatmap(lambda noise: st.sampled_from([noise, bytes(len(noise))])),
    compression=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    zip64=st.booleans(),
    extra=st.sampled_from([b"", struct.pack("<2HBI", 0x5455, 5, 1, 1_700_000_000)]),
)


SUBMITTED_AT = datetime(2024, 5, 6, tzinfo=UTC)


class Unseekable(io.BytesIO):
    """A pipe: sizes and checksums come after the content, in data descriptors."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation


def made_zip(items, *, piped, prefix):
    """The zip, and what is in it: path to (kind, mode, content or target)."""
    buffer, wanted = Unseekable() if piped else io.BytesIO(), {}
    buffer.write(prefix)
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, item in items.items():
            info = entry(f"{path}/" * is_directory(item) or path, item.mode, item.kind)
            info.compress_type, info.extra = item.compression, item.extra
            content = item.content if stat.S_ISREG(item.kind) else b""
            if stat.S_ISLNK(item.kind):
                content = ("../" * path.count("/") + "a").encode()
            with archive.open(info, "w", force_zip64=item.zip64) as target:
                target.write(content)
            wanted[path] = (item.kind, item.mode, content)
    return buffer.getvalue(), wanted


def without_what_lies_below_files(items):
    return {
        path: item
        for path, item in items.items()
        if not any(
            path.startswith(f"{other}/") for other in items if not is_directory(items[other])
        )
    }


def is_directory(item):
    return stat.S_ISDIR(item.kind)


def members(content):
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        return {
            member.name: (
                member,
                tar.extractfile(member).read() if member.isreg() else member.linkname.encode(),
            )
            for member in tar
        }


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    items=st.dictionaries(_PATHS, _ITEMS, min_size=1, max_size=8),
    piped=st.booleans(),
    prefix=st.sampled_from([b"", b"#!/usr/bin/env python\n"]),
)
def test_a_tar_has_what_the_zip_has(tmp_path, items, piped, prefix):
    content, wanted = made_zip(without_what_lies_below_files(items), piped=piped, prefix=prefix)
    path = tmp_path / "package.zip"
    path.write_bytes(content)
    if any(not stat.S_ISDIR(kind) for kind, _, _ in wanted.values()):
        check_package(path, LIMITS)
    with ProjectArchive(path.open("rb"), SUBMITTED_AT) as archive:
        found = members(b"".join(project_tar(archive)))
    for name, (kind, mode, content) in wanted.items():
        member, told = found.pop(f"workspace/{name}")
        assert (member.uid, member.gid) == (1000, 1000)
        assert datetime(1980, 1, 2, tzinfo=UTC).timestamp() <= member.mtime
        assert member.mtime <= SUBMITTED_AT.timestamp()
        assert told == content
        if stat.S_ISREG(kind):
            assert (member.type, member.mode) == (tarfile.REGTYPE, (mode or 0o644) | 0o600)
        elif stat.S_ISLNK(kind):
            assert member.type == tarfile.SYMTYPE
        else:
            told_mode = (mode or 0o755) | 0o700
            assert (member.type, member.mode in (told_mode, 0o755)) == (tarfile.DIRTYPE, True)
    assert all(member.isdir() for member, _ in found.values()), "more than was in the zip"


@settings(max_examples=500, deadline=None)
@given(
    name=st.one_of(_PATHS, st.integers(90, 300).map(lambda size: "n" * size)),
    mode=st.integers(0, 0o777),
    kind=st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE]),
    size=st.sampled_from([0, 1, 8**11 - 1, 8**11, 9 << 30, 1 << 40]),
    link=st.sampled_from(["", "a", "ä" * 50, "x" * 101, "y" * 4000]),
    mtime=st.sampled_from([0, 1_700_000_000, 2**32]),
)
def test_a_header_says_what_tarfiles_own_says(name, mode, kind, size, link, mtime):
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.size, info.linkname, info.mtime = mode, kind, size, link, mtime
    info.uid = info.gid = 1000
    made = tar_header(name, mode, kind, user=1000, size=size, link=link, mtime=mtime)
    assert len(made) % tarfile.BLOCKSIZE == 0
    for told in (made, info.tobuf(tarfile.GNU_FORMAT)):
        with tarfile.open(fileobj=io.BytesIO(told + bytes(1024)), mode="r:") as tar:
            found = tar.firstmember
        assert (found.name, found.mode, found.type) == (name, mode, kind)
        assert (found.uid, found.gid, found.size) == (1000, 1000, size)
        assert (found.linkname, found.mtime) == (link, mtime)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [0, 39_999, 40_001, 1 << 30])
def test_a_size_that_is_not_the_declared_one_ends_the_tar(tmp_path, compression, size):
    """However much is declared: a member's header is a promise of its size."""
    content = zip_bytes({"first": b"1", "bad": b"bad " * 10_000}, compression=compression)
    path = tmp_path / "package.zip"
    path.write_bytes(with_size(content, "bad", size))
    with ProjectArchive(path.open("rb")) as archive:
        blocks = project_tar(archive)
        with pytest.raises(PackageCorruptError, match="bad: "):
            for _ in blocks:
                pass


def test_a_tar_is_interrupted_between_two_pieces(tmp_path):
    path = tmp_path / "package.zip"
    path.write_bytes(zip_bytes({"noise": random.Random(1).randbytes(2 << 20)}))
    interruption = Interruption()
    with ProjectArchive(path.open("rb")) as archive:
        pieces = project_tar(archive, interruption=interruption)
        next(pieces)
        interruption.ask()
        with pytest.raises(InterruptedWorkError):
            next(pieces)


def peak_bytes(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def make_tar(path):
    with ProjectArchive(path.open("rb")) as archive:
        for _ in project_tar(archive):
            pass


def find_requirements(path):
    with ProjectArchive(path.open("rb")) as archive:
        assert archive.read_file("requirements.txt") is None


@pytest.fixture(scope="module")
def many_files(tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "many.zip"
    names = (f"src/package_{number // 100}/module_{number}.py" for number in range(30_000))
    path.write_bytes(zip_bytes(dict.fromkeys(names, b"value = 1\n")))
    return path


@pytest.mark.parametrize(
    ("work", "most"),
    [
        (make_tar, 3 << 20),
        (find_requirements, 3 << 20),
        (lambda path: check_package(path, LIMITS), 6 << 20),
    ],
    ids=["tar", "requirements", "check"],
)
def test_thirty_thousand_files_take_a_few_megabytes(many_files, work, most):
    """`zipfile` would take 26 MiB for them, and 6 for the directory in one piece."""
    assert peak_bytes(lambda: work(many_files)) < most


@pytest.mark.parametrize("work", [make_tar, lambda path: check_package(path, LIMITS)])
def test_a_large_file_is_never_in_memory(tmp_path, work):
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open(entry("large"), "w") as file:
        for _ in range(64):
            file.write((b"%04d" % random.randrange(9999)) * (1 << 18))
    assert peak_bytes(lambda: work(path)) < 4 << 20
