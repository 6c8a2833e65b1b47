"""The artifact store on a real disk."""

import errno
import hashlib
import os

import pytest

from ci_common.errors import ArtifactNotFoundError, LeaseLostError
from ci_common.job import Artifact
from ci_persistence.files import artifacts
from ci_persistence.files.artifacts import FileArtifactStore

JOB = "0b5d6f3e-9d0a-4c39-8f0e-3f1d2c4b5a69"


@pytest.fixture
def store(tmp_path):
    return FileArtifactStore(tmp_path)


def stored(store, job_id=JOB, **files):
    batch = store.begin(job_id)
    added = [batch.add(path, iter(pieces)) for path, pieces in files.items()]
    batch.commit()
    return added


def files_below(path):
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


def test_what_was_added_can_be_read(store):
    a, empty = stored(store, a=[b"12", b"", b"345"], empty=[])
    assert a == Artifact("a", 5, hashlib.sha256(b"12345").hexdigest())
    assert empty == Artifact("empty", 0, hashlib.sha256(b"").hexdigest())
    with store.open(JOB, a) as file:
        assert file.read() == b"12345"
    with store.open(JOB, empty) as file:
        assert file.read() == b""


@pytest.mark.parametrize(
    "path", ["d/e/f", "...", "a b\n\x1b[31m", "ü" * 1000, "-rf", "con", "C:\\x"]
)
def test_any_path_is_only_a_name(store, tmp_path, path):
    (artifact,) = stored(store, **{path: [b"x"]})
    assert artifact.path == path
    with store.open(JOB, artifact) as file:
        assert file.read() == b"x"
    (name,) = files_below(tmp_path)
    assert name == f"artifacts/{JOB[:2]}/{JOB}/{artifact.sha256}"


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../../x", "a\0", "a//b", "\udcff"])
def test_paths_that_are_none_are_refused(store, path):
    batch = store.begin(JOB)
    with pytest.raises(ValueError, match="path"):
        batch.add(path, iter([b"x"]))


def test_a_path_twice_is_refused_but_content_twice_is_stored_once(store, tmp_path):
    batch = store.begin(JOB)
    first = batch.add("a", iter([b"same"]))
    second = batch.add("b", iter([b"same"]))
    with pytest.raises(ValueError, match="'a'"):
        batch.add("a", iter([b"other"]))
    batch.commit()
    assert first.sha256 == second.sha256
    assert len(files_below(tmp_path)) == 1


def test_nothing_is_there_before_commit_nor_after_discard(store, tmp_path):
    batch = store.begin(JOB)
    artifact = batch.add("a", iter([b"x"]))
    with pytest.raises(ArtifactNotFoundError):
        store.open(JOB, artifact)
    batch.discard()
    batch.discard()
    assert files_below(tmp_path) == []


def test_discard_after_commit_undoes_nothing(store):
    batch = store.begin(JOB)
    artifact = batch.add("a", iter([b"x"]))
    batch.commit()
    batch.discard()
    store.open(JOB, artifact).close()


def test_commit_replaces_what_was_there(store, tmp_path):
    (old,) = stored(store, a=[b"old"])
    (new,) = stored(store, a=[b"new"])
    with pytest.raises(ArtifactNotFoundError):
        store.open(JOB, old)
    store.open(JOB, new).close()
    assert stored(store) == []
    assert files_below(tmp_path) == []


def test_content_that_breaks_leaves_nothing(store, tmp_path):
    def content():
        yield b"some"
        raise OSError(errno.ENOSPC, "no space")

    batch = store.begin(JOB)
    batch.add("good", iter([b"x"]))
    with pytest.raises(OSError, match="no space"):
        batch.add("bad", content())
    batch.add("after", iter([b"y"]))
    batch.commit()
    assert len(files_below(tmp_path)) == 2


def test_a_former_batch_is_removed_and_cannot_go_on(store, tmp_path):
    former = store.begin(JOB)
    former.add("a", iter([b"former"]))
    batch = store.begin(JOB)
    other = store.begin(JOB.replace("0b", "0c"))
    artifact = batch.add("a", iter([b"later"]))
    with pytest.raises(LeaseLostError):
        former.add("b", iter([b"x"]))
    batch.commit()
    with pytest.raises(LeaseLostError):
        former.commit()
    former.discard()
    store.open(JOB, artifact).close()
    other.discard()
    assert files_below(tmp_path) == [f"artifacts/0b/{JOB}/{artifact.sha256}"]


def test_a_former_batch_that_a_slow_disk_held_removes_nothing(store, monkeypatch):
    """Its controller has lost the lease meanwhile, and the next one has recorded what is there."""
    former, later = store.begin(JOB), []
    former.add("a", iter([b"former"]))
    sync = artifacts.sync_directory

    def slow_sync(path):
        sync(path)
        if not later:
            later.append(path)
            later[:] = stored(store, a=[b"later"])

    monkeypatch.setattr(artifacts, "sync_directory", slow_sync)
    with pytest.raises(LeaseLostError):
        former.commit()
    with store.open(JOB, later[0]) as file:
        assert file.read() == b"later"


def test_a_former_batch_that_was_empty_cannot_remove_what_came_after(store):
    former = store.begin(JOB)
    (artifact,) = stored(store, a=[b"x"])
    with pytest.raises(LeaseLostError):
        former.commit()
    store.open(JOB, artifact).close()


def test_delete_is_repeatable(store, tmp_path):
    (artifact,) = stored(store, a=[b"x"])
    store.delete(JOB)
    store.delete(JOB)
    with pytest.raises(ArtifactNotFoundError):
        store.open(JOB, artifact)
    assert files_below(tmp_path) == []


def test_delete_tells_what_it_cannot_delete(store, tmp_path, monkeypatch):
    stored(store, a=[b"x"])

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("ci_persistence.files.artifacts.shutil.rmtree", refuse)
    with pytest.raises(PermissionError):
        store.delete(JOB)
    assert len(files_below(tmp_path)) == 1


def test_a_deletion_is_on_disk_when_it_is_told(store, tmp_path, monkeypatch):
    stored(store, a=[b"x"])
    synced = []
    monkeypatch.setattr(
        "ci_persistence.files.artifacts.sync_directory",
        lambda path: synced.append((path, files_below(tmp_path))),
    )
    store.delete(JOB)
    assert synced == [(tmp_path / "artifacts" / JOB[:2], [])]


def test_a_new_store_sweeps_what_a_crash_left(tmp_path):
    crashed = FileArtifactStore(tmp_path)
    crashed.begin(JOB).add("a", iter([b"x"]))
    (staged,) = (tmp_path / "staging/artifacts").iterdir()
    store = FileArtifactStore(tmp_path)
    store.sweep_staging(3600)
    assert staged.is_dir()
    os.utime(staged, (0, 0))
    store.sweep_staging(3600)
    assert not staged.exists()


def test_job_ids_by_age(store, tmp_path):
    stored(store, a=[b"x"])
    assert store.job_ids(0) == [JOB]
    assert store.job_ids(3600) == []
    os.utime(tmp_path / "artifacts" / JOB[:2] / JOB, (0, 0))
    assert store.job_ids(3600) == [JOB]


def test_files_are_private(store, tmp_path):
    stored(store, a=[b"x"])
    for path in (tmp_path / "artifacts").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.is_file()
    assert (tmp_path / "artifacts").stat().st_mode & 0o077 == 0
