"""The accepted zip as entries and as a tar: names, modes, links, contents, order."""

import io
import stat
import tarfile

import pytest

from ci_common.errors import PackageCorruptError
from ci_controller.executors.docker.project_tar import USER_ID, files_tar, project_tar
from ci_controller.executors.process.environments import unpack
from ci_controller.project_archive import ProjectArchive
from support.archives import entry, of_entries, patched, zip_bytes


@pytest.fixture
def stored(tmp_path):
    def stored(content):
        path = tmp_path / "package.zip"
        path.write_bytes(content)
        return path

    return stored


def read_tar(pieces):
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces)), mode="r:") as tar:
        return {
            member.name: (
                member,
                (tar.extractfile(member) or io.BytesIO()).read() if member.isreg() else b"",
            )
            for member in tar
        }


def entries(path):
    with ProjectArchive(path) as archive:
        return [(str(item.path), item.is_directory) for item in archive.entries()]


def test_directories_come_before_what_is_in_them(stored):
    path = stored(zip_bytes({"a/b/c.txt": b"", "a/d.txt": b"", "e.txt": b""}))
    assert entries(path) == [
        ("a", True),
        ("a/b", True),
        ("a/b/c.txt", False),
        ("a/d.txt", False),
        ("e.txt", False),
    ]


def test_a_directory_of_the_zip_is_made_once(stored):
    path = stored(zip_bytes({"a/": b"", "a/b.txt": b""}))
    assert entries(path) == [("a", True), ("a/b.txt", False)]


def test_tar_keeps_modes_links_and_contents(stored):
    content = zip_bytes(
        {"d/": b"", "d/run.sh": b"#!/bin/sh\n", "secret": b"s", "big": b"0123456789" * 100_000},
        links={"d/l": "../big"},
        modes={"d/": 0o750, "d/run.sh": 0o755, "secret": 0o400},
    )
    with ProjectArchive(stored(content)) as archive:
        members = read_tar(project_tar(archive))
    assert members["workspace/d"][0].mode == 0o750
    assert members["workspace/d/run.sh"][0].mode == 0o755
    assert members["workspace/secret"][0].mode == 0o600  # the owner may always write
    assert members["workspace/big"][1] == b"0123456789" * 100_000
    assert members["workspace/d/l"][0].linkname == "../big"
    assert {member.uid for member, _ in members.values()} == {USER_ID}
    assert {member.gid for member, _ in members.values()} == {USER_ID}


def test_set_uid_is_dropped_and_missing_modes_are_filled_in(stored):
    content = of_entries((entry("suid", 0o6755), b"x"), (entry("plain.txt"), b"x"))
    content = patched(content, "plain.txt", central={38: bytes(4)})
    with ProjectArchive(stored(content)) as archive:
        members = read_tar(project_tar(archive))
    assert members["workspace/suid"][0].mode == 0o755
    assert members["workspace/plain.txt"][0].mode == 0o644


def test_long_and_foreign_names_survive_the_tar(stored):
    names = ["ä/日本.txt", "/".join(["directory"] * 30) + "/file", "n" * 255, "a\nb", "l" * 150]
    with ProjectArchive(stored(zip_bytes({name: name.encode() for name in names}))) as archive:
        members = read_tar(project_tar(archive))
    assert {name: members[f"workspace/{name}"][1] for name in names} == {
        name: name.encode() for name in names
    }


def test_long_link_targets_survive_the_tar(stored):
    target = "/".join(["d"] * 200)
    with ProjectArchive(stored(zip_bytes({"a": b""}, links={"l": target}))) as archive:
        assert read_tar(project_tar(archive))["workspace/l"][0].linkname == target


def test_tar_comes_in_large_pieces(stored):
    files = {f"{number}.txt": b"x" for number in range(2000)}
    with ProjectArchive(stored(zip_bytes(files))) as archive:
        pieces = list(project_tar(archive))
    assert len(pieces) < 20
    assert len(read_tar(pieces)) == 2002


def test_damaged_content_is_a_corrupt_package(stored):
    content = patched(zip_bytes({"bad.txt": b"bad " * 100}), "bad.txt", central={16: b"abcd"})
    with (
        ProjectArchive(stored(content)) as archive,
        pytest.raises(PackageCorruptError, match=r"bad\.txt"),
    ):
        list(project_tar(archive))


def test_damaged_link_is_a_corrupt_package(stored):
    content = zip_bytes({"a": b""}, links={"bad": "target"})
    content = patched(content, "bad", central={16: b"abcd"})
    with ProjectArchive(stored(content)) as archive, pytest.raises(PackageCorruptError):
        list(project_tar(archive))


def test_unpacking_damaged_content_is_a_corrupt_package(stored, tmp_path):
    content = patched(zip_bytes({"bad.txt": b"bad " * 100}), "bad.txt", central={16: b"abcd"})
    with pytest.raises(PackageCorruptError):
        unpack(stored(content), tmp_path / "out", None)


def test_unpacking_makes_the_same_tree(stored, tmp_path):
    content = zip_bytes(
        {"d/run.sh": b"#!/bin/sh\n", "x": b"x"}, links={"d/l": "../x"}, modes={"d/run.sh": 0o755}
    )
    out = tmp_path / "out"
    unpack(stored(content), out, None)
    assert (out / "d/run.sh").read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE((out / "d/run.sh").stat().st_mode) == 0o755
    assert (out / "d/l").readlink().as_posix() == "../x"
    assert (out / "d/l").read_bytes() == b"x"


def test_what_is_no_zip_is_a_corrupt_package(stored, tmp_path):
    with pytest.raises(PackageCorruptError):
        ProjectArchive(stored(b"no zip"))
    with pytest.raises(PackageCorruptError):
        ProjectArchive(tmp_path / "missing.zip")


def test_read_file(stored):
    path = stored(zip_bytes({"a.txt": b"content", "d/b.txt": b""}))
    with ProjectArchive(path) as archive:
        assert archive.read_file("a.txt") == b"content"
        assert archive.read_file("d") is None
        assert archive.read_file("b.txt") is None


def test_files_tar_has_the_directories_of_its_files():
    members = read_tar(files_tar({"requirements.txt": b"a", "r/s/dev.txt": b"b"}))
    assert list(members) == [
        "home/ci",
        "workspace",
        "workspace/r",
        "workspace/r/s",
        "workspace/requirements.txt",
        "workspace/r/s/dev.txt",
    ]
    assert members["workspace/r/s/dev.txt"][1] == b"b"
