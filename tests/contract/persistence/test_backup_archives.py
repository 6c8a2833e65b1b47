"""Archives that are not whole, or not what they say; and a restore that is cut off."""

import gzip
import hashlib
import io
import random
import tarfile
from contextlib import contextmanager

import pytest

from ci_common.errors import BackupError, DatabaseError
from ci_persistence.backup import backup as backup_module
from ci_persistence.backup.restore import Restore
from ci_persistence.database.location import restoring_mark
from support.backups import (
    BIG_LOG,
    SOME_ID,
    back_up,
    check_filled,
    filled,
    nothing_changed,
    restore,
)


def test_no_file(target, tmp_path):
    with pytest.raises(BackupError, match="there is no file"):
        restore(target, tmp_path / "missing.tar")


@pytest.mark.parametrize("content", [b"", b"hello\n" * 1000, gzip.compress(b"hello", mtime=0)])
def test_no_archive(target, tmp_path, content):
    (tmp_path / "b.tar").write_bytes(content)
    with pytest.raises(BackupError):
        restore(target, tmp_path / "b.tar")
    assert nothing_changed(target)


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
def test_an_archive_that_is_cut_off_anywhere(source, target, tmp_path, name):
    filled(source)
    back_up(source, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    # The last blocks of a tar file are padding.
    whole = content.rstrip(b"\0") if name.endswith("tar") else content
    choose = random.Random(name)
    for size in [choose.randrange(len(whole)) for _ in range(25)]:
        (tmp_path / "cut.tar").write_bytes(content[:size])
        with pytest.raises(BackupError):
            restore(target, tmp_path / "cut.tar")
    assert nothing_changed(target)


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
def test_an_archive_with_a_flipped_bit_anywhere(source, target, tmp_path, name):
    jobs = filled(source)
    back_up(source, tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    choose = random.Random(name)
    for position in [choose.randrange(len(content)) for _ in range(40)]:
        content[position] ^= 0x10
        (tmp_path / "bad.tar").write_bytes(content)
        content[position] ^= 0x10
        try:
            restore(target, tmp_path / "bad.tar", force=True)
        except BackupError:
            assert nothing_changed(target)
        else:
            check_filled(target, jobs)  # a bit that means nothing: a time, an owner, padding
            for path in [target.database, *target.data.glob("*")]:
                remove(path)


def remove(path):
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def rewritten(archive, change):
    """The archive with another list of (name, content), and a manifest that fits."""
    with tarfile.open(archive) as tar:
        members = [(entry, tar.extractfile(entry).read()) for entry in tar]  # type: ignore[union-attr]
    members = change([(entry, content) for entry, content in members[:-1]])
    manifest = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {entry.name}\n" for entry, content in members
    ).encode()
    entry = tarfile.TarInfo("MANIFEST.sha256")
    with tarfile.open(archive, "w") as tar:
        for member, content in [*members, (entry, manifest)]:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "logs/../../evil.log",
        f"packages/{SOME_ID}.log",
        f"artifacts/{SOME_ID}/../../x",
        "evil",
    ],
)
def test_names_that_are_none_of_ours(target, archive, name, tmp_path):
    rewritten(archive, lambda members: [*members, (tarfile.TarInfo(name), b"evil")])
    with pytest.raises(BackupError, match="unknown kind"):
        restore(target, archive)
    assert nothing_changed(target)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
)
@pytest.mark.parametrize("place", ["first", "last"])
def test_members_that_are_no_plain_files(target, archive, kind, place):
    entry = tarfile.TarInfo(f"logs/{SOME_ID}.log")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with tarfile.open(archive, "w" if place == "first" else "a") as tar:
        tar.addfile(entry)
    with pytest.raises(BackupError):
        restore(target, archive)
    assert nothing_changed(target)


def test_a_file_after_the_manifest(target, archive):
    entry = tarfile.TarInfo(f"logs/{SOME_ID}.log")
    with tarfile.open(archive, "a") as tar:
        tar.addfile(entry)
    with pytest.raises(BackupError, match="manifest lacks"):
        restore(target, archive)
    assert nothing_changed(target)


def test_no_rows(target, archive):
    rewritten(archive, lambda members: [m for m in members if m[0].name != "database.sqlite"])
    with pytest.raises(BackupError, match="it has no rows"):
        restore(target, archive)
    assert nothing_changed(target)


def test_a_newer_format(target, archive):
    def newer(members):
        text = members[0][1].replace(b'"format": 2', b'"format": 3')
        return [(members[0][0], text), *members[1:]]

    rewritten(archive, newer)
    with pytest.raises(BackupError, match="upgrade this program"):
        restore(target, archive)


def test_an_artifact_that_is_not_what_its_name_says(source, target, archive):
    """The manifest fits, so it is what was backed up: it comes back, and the doctor will tell."""

    def change(members):
        return [
            (e, b"b" if e.name.startswith("artifacts") and c == b"a" else c) for e, c in members
        ]

    rewritten(archive, change)
    restore(target, archive)
    assert target.log(source.jobs["finished"]) == BIG_LOG


# ---------------------------------------------------------------------- a restore that is cut off


class Killed(BaseException):
    """Ends a process where it stands."""


@pytest.mark.parametrize("renames", range(7))
def test_a_restore_that_is_cut_off_in_the_middle_is_noticed_and_repeated(
    source, target, archive, monkeypatch, renames
):
    target.add(log=b"mine")
    rename = backup_module.Path.rename
    count = iter(range(100))

    def die_in_the_middle(self, to):
        if restoring_mark(target.database).exists() and next(count) == renames:
            raise Killed
        return rename(self, to)

    with monkeypatch.context() as patched:
        patched.setattr(Restore, "_cleaned_up", lambda self: contextmanager(lambda: (yield))())
        patched.setattr("pathlib.Path.rename", die_in_the_middle)
        with pytest.raises(Killed):
            restore(target, archive, force=True)
    assert restoring_mark(target.database).exists()
    with pytest.raises(DatabaseError, match="restore --force FILE"):
        target.add()
    if target.database.exists():
        with pytest.raises(DatabaseError, match="restore --force FILE"):
            back_up(target, target.directory / "half.tar")
    restore(target, archive, force=True)
    check_filled(target, source.jobs)
    assert not restoring_mark(target.database).exists()
    assert not list(target.data.glob("restore-*"))
    assert not list(target.directory.glob("ci.db-restore-*"))
