"""Reading the files of workloads from hostile directories and broken streams."""

import io
import os
import subprocess
import tarfile
import tracemalloc
from datetime import UTC, datetime

import pytest
import requests
from urllib3.exceptions import ProtocolError

from ci_common.errors import EngineUnavailableError, FilesUnreadableError
from ci_controller.executors.docker.files import TarFiles
from ci_controller.executors.process.files import DirectoryFiles
from ci_controller.executors.shared.file_times import moment_of


def tar(*members, tail=b""):
    """A tar stream of (name, content or type or link) pairs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, what in members:
            info = tarfile.TarInfo(name)
            info.mtime = 1000
            if isinstance(what, bytes) and not what.startswith(b"type:"):
                info.size = len(what)
                archive.addfile(info, io.BytesIO(what))
            else:
                info.type = what.removeprefix(b"type:")
                info.linkname = "elsewhere"
                archive.addfile(info)
    return buffer.getvalue() + tail


def pieces(content, size=700):
    return [content[at : at + size] for at in range(0, len(content), size)]


def read(files):
    return {file.path: b"".join(file.content) for file in files}


MEMBERS = (
    ("output", b"type:" + tarfile.DIRTYPE),
    ("output/a", b"a" * 1000),
    ("output/hard", b"type:" + tarfile.LNKTYPE),
    ("output/soft", b"type:" + tarfile.SYMTYPE),
    ("output/pipe", b"type:" + tarfile.FIFOTYPE),
    ("output/device", b"type:" + tarfile.CHRTYPE),
    ("output/sub/" + "n" * 200, b"long"),
    ("output/\udce9\n", b""),
)


@pytest.mark.parametrize("size", [1, 511, 512, 100_000])
def test_only_regular_files_of_a_tar(size):
    files = TarFiles(pieces(tar(*MEMBERS), size), lambda: None, "output")
    assert read(files) == {
        "output/a": b"a" * 1000,
        "output/sub/" + "n" * 200: b"long",
        "output/\udce9\n": b"",
    }


def test_names_are_relative_to_the_project():
    def names(path, *members):
        return list(read(TarFiles(pieces(tar(*members)), lambda: None, path)))

    assert names("a/b", ("b/c", b"")) == ["a/b/c"]
    assert names("a/b.txt", ("b.txt", b"")) == ["a/b.txt"]
    assert names("", ("workspace/a/b", b""), ("workspace/c", b"")) == ["a/b", "c"]


def test_the_time_is_the_beginning_of_the_second():
    (file,) = TarFiles(pieces(tar(("a", b""))), lambda: None, "a")
    assert file.modified_at == datetime.fromtimestamp(1000, UTC)


@pytest.mark.parametrize(
    ("seconds", "year"),
    [
        *((-5, 1970), (2**33, 2242), (253_402_300_800, 9999), (2**63, 9999), (-(2**70), 1970)),
        *((float("nan"), 1970), (float("inf"), 1970)),
    ],
)
def test_hostile_times_are_dates(seconds, year):
    assert moment_of(seconds).year == year


def test_content_may_be_left_unread():
    files = TarFiles(pieces(tar(("d/a", b"1" * 5000), ("d/b", b"2"))), lambda: None, "d")
    assert [file.path for file in files] == ["d/a", "d/b"]


def test_a_connection_that_breaks():
    content = tar(("d/a", b"1" * 5000), ("d/b", b"2" * 5000))

    def broken(end, error):
        yield from pieces(content[:end])
        raise error

    for error in (ProtocolError("cut"), requests.ConnectionError(), ConnectionResetError()):
        for end in range(0, len(content), 256):
            with pytest.raises(EngineUnavailableError):
                read(TarFiles(broken(end, error), lambda: None, "d"))


def test_a_stream_that_is_short_or_garbled():
    content = tar(("d/a", b"1" * 5000), ("d/b", b"2" * 5000))
    for wrong in (
        b"",
        b"not a tar" * 100,
        content[:700],
        content[:3000],
        content[:6200] + b"x" * 999,
    ):
        with pytest.raises(FilesUnreadableError):
            read(TarFiles(pieces(wrong), lambda: None, "d"))


def test_a_million_names_take_little_memory():
    header = tarfile.TarInfo("d/file").tobuf()
    tracemalloc.start()
    try:
        files = TarFiles((header * 100 for _ in range(200)), lambda: None, "d")
        count = sum(1 for _ in files)
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()
    assert count == 20_000


# ------------------------------------------------------------------ directories


@pytest.fixture
def work(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    work = tmp_path / "work"
    (work / "output/sub").mkdir(parents=True)
    (work / "output/a").write_bytes(b"a" * 300_000)
    (work / "output/sub/b").write_bytes(b"b")
    (work / "other").write_bytes(b"")
    return work


def test_regular_files_at_or_below_a_path(work):
    assert list(read(DirectoryFiles(work, "output"))) == ["output/a", "output/sub/b"]
    assert read(DirectoryFiles(work, "output/a")) == {"output/a": b"a" * 300_000}
    assert list(read(DirectoryFiles(work, "."))) == ["other", "output/a", "output/sub/b"]


def test_whether_there_is_anything(work):
    (work / "link").symlink_to("output")
    for path in (".", "output", "output/a", "output/sub", "other"):
        assert DirectoryFiles(work, path).exists
    for path in ("nothing", "output/nothing/x", "other/below", "link/a"):
        assert not DirectoryFiles(work, path).exists
    with pytest.raises(FileNotFoundError):
        DirectoryFiles(work / "nothing", "output")


def test_links_lead_nowhere(work):
    outside = work.parent / "outside"
    (work / "output/link").symlink_to(outside / "secret")
    (work / "output/directory").symlink_to(outside)
    (work / "linked").symlink_to(outside)
    (work / "loop").symlink_to(".")
    assert list(read(DirectoryFiles(work, "."))) == ["other", "output/a", "output/sub/b"]
    for path in ("linked", "linked/secret", "output/link", "output/directory/secret", "loop/other"):
        assert read(DirectoryFiles(work, path)) == {}


def test_a_directory_swapped_for_a_link_while_it_is_read(work):
    outside = work.parent / "outside"
    (outside / "b").write_text("secret")
    files = iter(DirectoryFiles(work, "output"))
    assert next(files).path == "output/a"
    (work / "output/sub").rename(work / "moved")
    (work / "output/sub").symlink_to(outside)
    assert list(files) == []


def test_pipes_do_not_block(work):
    os.mkfifo(work / "output/pipe")
    assert "output/pipe" not in read(DirectoryFiles(work, "output"))


def test_a_second_name_of_a_file_is_left_out(work):
    os.link(work / "output/a", work / "output/again")
    assert list(read(DirectoryFiles(work, "output"))) == ["output/a", "output/sub/b"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_other_users_are_left_out(work):
    for path in (work, *work.rglob("*")):
        os.chown(path, 65534, 65534)
    (work / "output/foreign").write_text("root's")
    assert list(read(DirectoryFiles(work, "output"))) == ["output/a", "output/sub/b"]


def test_a_very_deep_directory(work):
    descriptor = os.open(work, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("dddd", dir_fd=descriptor)
        below = os.open("dddd", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("deep", os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    try:
        assert list(read(DirectoryFiles(work, "."))) == ["other", "output/a", "output/sub/b"]
    finally:
        # Deeper than Python's own way to remove directories can go.
        subprocess.run(["rm", "-rf", work / "dddd"], check=True)


@pytest.mark.parametrize(("becomes", "seen"), [(400_000, 300_000), (270_000, 270_000)])
def test_a_file_that_grows_or_shrinks(work, becomes, seen):
    for file in DirectoryFiles(work, "output/a"):
        first = next(file.content)
        os.truncate(work / "output/a", becomes)
        assert file.size == 300_000
        assert len(first + b"".join(file.content)) == seen


def test_closed_while_it_is_read(work):
    files = DirectoryFiles(work, "output")
    for file in files:
        next(file.content)
        files.close()
        with pytest.raises(EngineUnavailableError):
            list(file.content)
        break
