"""Uploads: every bad one is refused with a message that names the entry; good ones unpack."""

import errno
import io
import random
import stat
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ci_common.errors import InvalidPackageError
from ci_controller.executors.docker.project_tar import project_tar
from ci_controller.executors.shared.project_archive import ProjectArchive
from ci_server.submission.package_check import PackageLimits, check_package
from support.archives import BAD_ENTRIES, NOT_ZIPS, entry, of_entries, truncations, zip_bytes

LIMITS = PackageLimits(max_entries=100, max_unpacked_bytes=4 << 20, max_ratio=200)


@pytest.fixture
def check(tmp_path):
    def check(content, limits=LIMITS):
        path = tmp_path / "upload.zip"
        path.write_bytes(content)
        return check_package(path, limits)

    return check


def refusal(check, content, limits=LIMITS):
    with pytest.raises(InvalidPackageError) as caught:
        check(content, limits)
    return caught.value.message


@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_bad_entry_is_named(check, case):
    content, name = BAD_ENTRIES[case]
    assert name in refusal(check, content)


@pytest.mark.parametrize("case", NOT_ZIPS)
def test_what_is_no_zip_is_refused(check, case):
    assert "zip" in refusal(check, NOT_ZIPS[case])


@pytest.mark.parametrize("content", truncations(), ids=len)
def test_truncated_anywhere(check, content):
    assert "zip" in refusal(check, content)


def test_too_many_entries(check):
    content = zip_bytes({f"f{number}": b"" for number in range(11)})
    limits = PackageLimits(10, 1 << 20, 200)
    assert "'f10'" in refusal(check, content, limits)
    check(content, PackageLimits(11, 1 << 20, 200))


def test_directories_that_only_paths_tell_of_are_entries(check):
    content = zip_bytes({f"{number}/a/b/c/f": b"" for number in range(3)})
    limits = PackageLimits(11, 1 << 20, 200)
    assert "directories" in refusal(check, content, limits)
    check(content, PackageLimits(12, 1 << 20, 200))


def test_too_deep(check):
    assert "directories" in refusal(check, zip_bytes({"a/" * 200 + "f": b""}))
    check(zip_bytes({"a/" * 199 + "f": b""}), PackageLimits(1000, 1 << 20, 200))


def test_expands_beyond_the_limit(check):
    files = {"a": random.Random(1).randbytes(600), "b": random.Random(2).randbytes(600)}
    message = refusal(check, zip_bytes(files), PackageLimits(10, 1000, 200))
    assert "'b'" in message
    assert "CI_MAX_UNPACKED_MB" in message


def test_expands_beyond_the_ratio(check):
    message = refusal(check, zip_bytes({"small": b"x", "zeros": bytes(3 << 20)}))
    assert "'zeros'" in message
    assert "CI_MAX_COMPRESSION_RATIO" in message


def test_a_small_file_may_exceed_the_ratio(check):
    check(zip_bytes({"zeros": bytes(100 << 10)}))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_is_found_with_every_compression(check, compression):
    content = zip_bytes({"a.txt": random.Random(1).randbytes(2000)}, compression=compression)
    check(content)
    damaged = bytearray(content)
    for at in range(800, 820):
        damaged[at] ^= 0xFF
    assert "'a.txt'" in refusal(check, bytes(damaged))


GOOD_LINKS = {
    "to_a_neighbour": {"l": "a.txt"},
    "to_itself": {"l": "."},
    "from_below": {"d/l": "../a.txt"},
    "far_from_below": {"d/e/f/l": "../../../a.txt"},
    "dangling": {"l": "no/such/file"},
    "to_another_link": {"l": "m", "m": "a.txt"},
    "down_through_a_link": {"d/up": "..", "l": "d/up/a.txt"},
}


@pytest.mark.parametrize("case", GOOD_LINKS)
def test_links_within_the_project_are_accepted(check, case):
    check(zip_bytes({"a.txt": b"a", "d/b.txt": b"b"}, links=GOOD_LINKS[case]))


@pytest.mark.parametrize(
    "name",
    ["..a", "a..b/c", "...", "~", "a b", "ä/ö.txt", "日本語", "-rf", "a\nb", ".hidden", "n" * 255],
)
def test_unusual_names_are_accepted(check, name):
    check(zip_bytes({name: b"x"}))


def test_directories_may_be_repeated(check):
    directories = [(entry("d/", 0o755, stat.S_IFDIR), b"") for _ in range(2)]
    check(of_entries(*directories, (entry("d/x"), b"x")))


def test_zip_in_an_archive_with_a_prefix_is_accepted(check):
    check(b"#!/usr/bin/env python\n" + zip_bytes({"__main__.py": b""}))


def test_config_files_are_handed_out(check):
    content = zip_bytes({"ci.toml": b"# ci", "pyproject.toml": b"# py", "sub/ci.toml": b"no"})
    assert check(content).config_files == {"ci.toml": b"# ci", "pyproject.toml": b"# py"}


def test_a_config_file_is_found_however_its_path_is_spelt(check):
    assert check(zip_bytes({"./ci.toml": b"x"})).config_files == {"ci.toml": b"x"}


def test_oversized_config_file_is_refused(check):
    content = zip_bytes({"ci.toml": b"#" * ((1 << 20) + 1)}, compression=zipfile.ZIP_STORED)
    assert "'ci.toml'" in refusal(check, content)


# ------------------------------------------------------------------ the archive as a tar


def unpacked(path):
    """What the engine would unpack: (name, kind, mode, content or target) of each member."""
    with ProjectArchive(path.open("rb")) as archive:
        content = b"".join(project_tar(archive))
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        return [
            (
                member.name,
                member.type,
                member.mode,
                member.linkname
                if member.issym()
                else (tar.extractfile(member) or io.BytesIO()).read(),
            )
            for member in tar
        ]


def assert_unpacks_within_workspace(path):
    """Every member is below workspace/, and the files are those of the zip."""
    members = unpacked(path)
    assert [member[0] for member in members[:2]] == ["home/ci", "workspace"]
    for name, kind, _, target in members[2:]:
        assert name.startswith("workspace/")
        assert ".." not in name.split("/")
        assert kind in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE)
        if kind == tarfile.SYMTYPE:
            assert not target.startswith("/")
    names = [member[0] for member in members]
    assert len(names) == len(set(names))
    seen = {"workspace"}
    for name in names[2:]:
        assert name.rpartition("/")[0] in seen, f"{name} comes before its directory"
        seen.add(name)
    with zipfile.ZipFile(path) as archive:
        wanted = sorted(
            archive.read(info)
            for info in archive.infolist()
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
        )
    assert sorted(content for _, kind, _, content in members if kind == tarfile.REGTYPE) == wanted


_SEED_FILES = {
    "pyproject.toml": b"[tool.ci]\n",
    "d/": b"",
    "d/run.sh": b"#!/bin/sh\necho hello\n" * 20,
    "d/e/data.bin": bytes(range(256)) * 4,
}
_SEEDS = [
    zip_bytes(_SEED_FILES, links={"l": "d/run.sh"}, modes={"d/run.sh": 0o755}),
    zip_bytes(_SEED_FILES, links={"d/l": ".."}, compression=zipfile.ZIP_STORED),
]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_zips_are_refused_or_unpack_safely(tmp_path, data):
    """Fuzz: never another exception, and what is accepted is safe and whole."""
    content = bytearray(data.draw(st.sampled_from(_SEEDS)))
    directory = content.find(b"PK\x01\x02")
    for _ in range(data.draw(st.integers(1, 6))):
        # The central directory decides most, so half of the damage goes there.
        low = data.draw(st.sampled_from([0, directory]))
        at = data.draw(st.integers(low, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content)))
        content[at:at] = data.draw(st.binary(max_size=8))
    path = tmp_path / "fuzz.zip"
    path.write_bytes(content)
    try:
        check_package(path, LIMITS)
    except InvalidPackageError:
        return
    assert_unpacks_within_workspace(path)


def goes_in_circles(place):
    try:
        place.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


_NAMES = st.text(st.sampled_from("ab./\\:\0ä "), min_size=1, max_size=8)


@example(files=[(":", stat.S_IFLNK), ("::", stat.S_IFLNK)], targets=[":", "://", "", ""])
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    files=st.lists(st.tuples(_NAMES, st.sampled_from([stat.S_IFREG, stat.S_IFLNK])), max_size=4),
    targets=st.lists(_NAMES, min_size=4, max_size=4),
)
def test_hostile_names_and_links_are_refused_or_unpack_safely(tmp_path, files, targets):
    """Fuzz of what an attacker chooses: resolving any accepted link stays in the project."""
    pairs = [
        (entry(name, kind=kind), target if kind == stat.S_IFLNK else b"x")
        for (name, kind), target in zip(files, targets, strict=False)
    ]
    path = tmp_path / "fuzz.zip"
    path.write_bytes(of_entries((entry("z.txt"), b"z"), *pairs))
    try:
        check_package(path, LIMITS)
    except InvalidPackageError:
        return
    assert_unpacks_within_workspace(path)
    root = tmp_path / "unpacked"
    with ProjectArchive(path.open("rb")) as archive, _fresh(root):
        for item in archive.entries():
            place = root / item.path
            if item.is_directory:
                place.mkdir()
            elif item.link_target is not None:
                place.symlink_to(item.link_target)
            else:
                place.write_bytes(b"")
        for place in root.rglob("*"):
            if goes_in_circles(place):
                continue  # and nowhere: what pathlib then says is not so
            resolved = place.resolve()
            assert resolved.is_relative_to(root.resolve()), f"{place} leads to {resolved}"


class _fresh:
    def __init__(self, root):
        self._root = root

    def __enter__(self):
        import shutil

        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir()

    def __exit__(self, *_):
        pass
