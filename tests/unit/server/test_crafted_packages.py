"""Property tests of the intake: archives whose headers were written to deceive."""

import stat
import tracemalloc
import zipfile
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_common.errors import InvalidPackageError
from ci_controller.executors.shared.project_archive import ProjectArchive
from ci_server.submission.package_check import PackageLimits, check_package
from support.crafted_zip import Crafted, crafted_zip, local_entry

LIMITS = PackageLimits(max_entries=20, max_unpacked_bytes=1 << 20, max_ratio=200)

_NAMES = st.sampled_from(
    [
        *(
            b"a",
            b"A",
            b"\xc3\xa4",
            b"a\xcc\x88",
            b"d/a",
            b"D/a",
            b"d",
            b"d/",
            b"./a",
            b"d//a",
            b"a.",
        ),
        *(b"a/../b", b"/a", b"../a", b"C:a", b"a\\b", b"", b"a\0b", b"\xff", b" ", b"x" * 300),
    ]
)
_KINDS = st.sampled_from(
    [
        *[stat.S_IFREG] * 6,
        *(0, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK),
    ]
)
_SIZES = st.sampled_from(
    [0, 1, 5, 1 << 19, 1 << 20, (1 << 32) - 1, 1 << 33, 1 << 62, (1 << 64) - 1]
)

_ENTRIES = st.builds(
    Crafted,
    name=_NAMES,
    content=st.sampled_from([b"", b"x", b"a", b"../a", b"/etc/passwd", b"\0" * 5000, b"\xff"]),
    kind=_KINDS,
    deflate=st.booleans(),
    told_size=st.none() | st.none() | _SIZES.map(lambda size: size & 0xFFFFFFFF),
    zip64=st.none() | st.none() | st.lists(_SIZES, max_size=3).map(tuple),
    at=st.none() | st.none() | st.integers(0, 5),
    local_name=st.none() | st.none() | _NAMES,
    flags=st.sampled_from([*[0x800] * 4, 0, 0x1, 0x8, 0x41, 0x2000]),
    wrong_crc=st.sampled_from([*[False] * 5, True]),
)


def intake(path, content):
    """What the check says, having taken no more memory than a small archive may."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        check_package(path, LIMITS)
    except InvalidPackageError as refused:
        return refused
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20, f"the check took {peak} bytes"
    return None


def assert_is_what_it_says(path, content):
    """Accepted: then the directory is the truth, and every byte is in one entry at most."""
    with zipfile.ZipFile(path) as archive, ProjectArchive(path.open("rb")) as project:
        infos = archive.infolist()
        assert sum(info.file_size for info in infos) <= LIMITS.max_unpacked_bytes
        for info in infos:
            assert len(archive.read(info)) == info.file_size
        spans = sorted((info.header_offset, info.compress_size) for info in infos)
        for (start, size), (after, _) in pairwise(spans):
            assert start + size < after, "two entries share bytes"
        entries = list(project.entries())
        assert len({entry.path for entry in entries}) == len(entries)
        for entry in entries:
            assert not entry.path.startswith("/")
            assert not {"", ".", ".."} & set(entry.path.split("/"))
            if entry.source is not None:
                content = b"".join(project.content(entry))
                assert content == archive.read(entry.source.name)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    entries=st.lists(_ENTRIES, max_size=6),
    told_count=st.none() | st.sampled_from([0, 1, 0xFFFF]),
    comment=st.sampled_from([b"", b"", b"PK\5\6" + b"\0" * 18, b"x" * 1000]),
)
def test_crafted_zips_are_refused_or_are_what_they_say(tmp_path, entries, told_count, comment):
    content = crafted_zip([Crafted(b"z"), *entries], told_count=told_count, comment=comment)
    if intake(tmp_path / "crafted.zip", content) is None:
        assert_is_what_it_says(tmp_path / "crafted.zip", content)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    names=st.lists(st.sampled_from([b"a", b"A", b"d/a", b"D/a", b"d/A"]), min_size=1, max_size=5)
)
def test_names_that_differ_in_case_are_different_files(tmp_path, names):
    """Jobs run on Linux, where they are; the same name twice is refused."""
    path = tmp_path / "case.zip"
    refused = intake(path, crafted_zip([Crafted(name, content=name) for name in names]))
    assert (refused is not None) == (len(set(names)) < len(names))
    if refused is None:
        with ProjectArchive(path.open("rb")) as archive:
            files = {e.path: archive.content(e) for e in archive.entries() if e.source}
            found = {name: b"".join(pieces) for name, pieces in files.items()}
        assert found == {name.decode(): name for name in names}


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=st.integers(0, 4), second=st.integers(0, 4), size=st.integers(0, 2000))
def test_entries_that_share_their_bytes_are_refused(tmp_path, first, second, size):
    """However large the bomb they would make: the honest ones are accepted."""
    entries = [Crafted(b"f%d" % number, content=b"x" * size) for number in range(5)]
    entries[first] = Crafted(b"f%d" % first, content=b"x" * size, at=second)
    refused = intake(tmp_path / "overlap.zip", crafted_zip(entries))
    assert (refused is not None) == (first != second)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.binary(max_size=50), after=st.binary(max_size=50))
def test_an_entry_within_the_content_of_another_is_refused(tmp_path, before, after):
    """As in zip bombs that quote headers: each entry by itself is in order."""
    inner = Crafted(b"inner", content=b"i" * 20, within=len(before))
    outer = Crafted(b"outer", content=before + local_entry(inner) + after)
    refused = intake(tmp_path / "quoted.zip", crafted_zip([outer, inner]))
    assert "overlaps" in refused.message


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(size=st.integers(0, (1 << 64) - 1), deflate=st.booleans())
def test_a_zip64_size_is_the_truth_or_refused(tmp_path, size, deflate):
    item = Crafted(b"big", content=b"x" * 100, deflate=deflate, zip64=(size,))
    refused = intake(tmp_path / "zip64.zip", crafted_zip([item]))
    assert (refused is None) == (size == 100)


@pytest.mark.parametrize("kind", ["S_IFCHR", "S_IFBLK", "S_IFIFO", "S_IFSOCK", "S_IFDOOR"])
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(mode=st.integers(0, 0o7777), content=st.binary(max_size=4))
def test_what_is_no_file_directory_or_link_is_refused(tmp_path, kind, mode, content):
    number = getattr(stat, kind) or 0o150000
    item = Crafted(b"thing", content=content, kind=number | mode)
    assert "thing" in intake(tmp_path / "kind.zip", crafted_zip([item])).message
