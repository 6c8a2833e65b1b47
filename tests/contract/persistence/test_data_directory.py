"""A data directory that goes away, is replaced, and comes back, under stores that are open."""

import asyncio
import logging
import shutil

import pytest

from ci_common.errors import DataDirectoryUnavailableError, LeaseLostError
from ci_common.job import Artifact
from ci_common.secret import Secret
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.data_directory import DataDirectory, Marker, write_marker
from ci_persistence.files.disk_reserve import DiskReserve
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.doorbell import SocketDoorbell
from ci_persistence.signals.in_process import ProcessJobSignals
from support.immutable import immutable
from support.jobs import a_job

JOB = "4be0643f-1d98-473b-97cd-ca98a65347dd"
MINE, OTHER = Marker("mine", "/db/ci.db"), Marker("another", "/db/other.db")


class Place:
    """A data directory, and every store of it."""

    def __init__(self, tmp_path):
        self.path = tmp_path / "data"
        self.away = tmp_path / "away"
        write_marker(self.path, MINE)
        self.directory = DataDirectory(self.path, MINE.instance_id)
        check, reserve = self.directory.check, DiskReserve(self.path, 1)
        self.logs = FileLogStore(self.path, ProcessJobSignals(), reserve, check)
        self.packages = FilePackageStore(self.path, 0, check)
        self.artifacts = FileArtifactStore(self.path, reserve, check)
        self.secrets = FileJobSecrets(self.path, SecretKeys(self.path, None), check)

    def delete(self):
        shutil.rmtree(self.path)

    def empty(self):
        self.path.rename(self.away)
        self.path.mkdir()

    def strange(self):
        self.path.rename(self.away)
        write_marker(self.path, OTHER)

    def copied_back(self):
        """Deleted, and restored from a copy."""
        shutil.copytree(self.path, self.away, ignore=shutil.ignore_patterns("*.sock"))
        shutil.rmtree(self.path)
        self.away.rename(self.path)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


LOSSES = pytest.mark.parametrize("lose", [Place.delete, Place.empty, Place.strange])


def upload(place):
    staged = place.packages.stage()
    staged.write(b"a zip")
    return staged


def a_secret():
    return Secret("TOKEN", b"very secret")


def needs_secret():
    job = a_job(job_id=JOB)
    return type(job)(**{
        **{name: getattr(job, name) for name in job.__dataclass_fields__},
        "spec": type(job.spec)(job.spec.command, secrets=("TOKEN",)),
    })  # fmt: skip


USES = {
    "stage": lambda place: place.packages.stage(),
    "space": lambda place: place.packages.check_space(),
    "open package": lambda place: place.packages.source(a_job(job_id=JOB)).open(),
    "sweep": lambda place: place.packages.job_ids(0),
    "open log": lambda place: place.logs.open(JOB, 1),
    "read log": lambda place: place.logs.read(JOB, 0, 10),
    "size of log": lambda place: place.logs.size(JOB),
    "compress": lambda place: place.logs.compress(JOB, 5),
    "delete log": lambda place: place.logs.delete(JOB),
    "artifacts": lambda place: place.artifacts.begin(JOB),
    "artifact": lambda place: place.artifacts.open(JOB, Artifact("a", 1, "0")),
    "delete artifacts": lambda place: place.artifacts.delete(JOB),
    "store secret": lambda place: place.secrets.store(JOB, [a_secret()]),
    "read secret": lambda place: place.secrets.of(needs_secret()),
}


@LOSSES
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_nothing_is_done_without_the_directory_nor_in_anothers(place, lose, use):
    """A missing file would be believed: a job would fail for it, or count as deleted."""
    lose(place)
    before = sorted(place.path.rglob("*"))
    with pytest.raises(DataDirectoryUnavailableError):
        use(place)
    assert sorted(place.path.rglob("*")) == before
    assert place.path.exists() is (lose is not Place.delete)


@LOSSES
def test_an_upload_that_is_under_way_is_not_acknowledged(place, lose):
    staged = upload(place)
    lose(place)
    with pytest.raises(DataDirectoryUnavailableError):
        staged.commit(JOB)
    staged.discard()


def test_an_upload_whose_directory_was_copied_back_is_to_be_sent_again(place):
    staged = upload(place)
    shutil.rmtree(place.path / "staging")
    with pytest.raises(DataDirectoryUnavailableError, match="send it again"):
        staged.commit(JOB)


@LOSSES
def test_artifacts_under_way(place, lose):
    batch = place.artifacts.begin(JOB)
    batch.add("a", iter([b"1"]))
    lose(place)
    with pytest.raises(DataDirectoryUnavailableError):
        batch.add("b", iter([b"2"]))
    with pytest.raises(DataDirectoryUnavailableError):
        batch.commit()
    batch.discard()


def test_why_is_logged_once_with_the_remedy_and_that_it_is_over(place, caplog):
    caplog.set_level(logging.INFO)
    place.path.rename(place.away)
    for _ in range(3):
        with pytest.raises(DataDirectoryUnavailableError, match="is gone") as told:
            place.directory.check()
    assert str(place.path) not in told.value.message
    place.away.rename(place.path)
    for _ in range(3):
        place.directory.check()
    lost, back = (record.message for record in caplog.records)
    assert str(place.path) in lost
    assert "ci-admin adopt" in lost
    assert "again" in back


def test_an_adopted_empty_directory_works_without_a_restart(place):
    place.delete()
    with pytest.raises(DataDirectoryUnavailableError):
        place.packages.stage()
    write_marker(place.path, MINE)
    upload(place).commit(JOB)
    log = place.logs.open(JOB, 1)
    log.append(b"hello\n")
    log.sync()
    log.close()
    batch = place.artifacts.begin(JOB)
    batch.add("a", iter([b"1"]))
    batch.commit()
    place.secrets.store(JOB, [a_secret()])
    assert place.logs.read(JOB, 0, 10) == b"hello\n"


def test_an_immutable_directory_is_read_only(place):
    with (
        immutable(place.path),
        pytest.raises(DataDirectoryUnavailableError, match="read-only"),
    ):
        place.packages.stage()
    place.packages.stage().discard()


# ---------------------------------------------------------------------- an open log


@pytest.fixture
def log(place):
    log = place.logs.open(JOB, 1)
    log.append(b"one\n")
    log.sync()
    yield log
    log.close()


def test_output_is_not_taken_for_stored_in_a_deleted_file(place, log):
    place.delete()
    with pytest.raises(DataDirectoryUnavailableError):
        log.append(b"two\n")
    with pytest.raises(DataDirectoryUnavailableError):
        log.sync()


@pytest.mark.parametrize("lose", [Place.empty, Place.strange])
def test_output_is_not_acknowledged_while_the_directory_is_elsewhere(place, log, lose):
    """What is written meanwhile is in the file all the same, which may come back."""
    lose(place)
    log.append(b"two\n")
    with pytest.raises(DataDirectoryUnavailableError):
        log.sync()
    with pytest.raises(DataDirectoryUnavailableError):
        log.read(0, 4)
    shutil.rmtree(place.path)
    place.away.rename(place.path)
    log.append(b"three\n")
    log.sync()
    assert place.logs.read(JOB, 0, 99) == b"one\ntwo\nthree\n"


def test_output_is_not_acknowledged_when_the_directory_was_copied_back(place, log):
    """The names are all there, but the file that is written to is not the one of the name."""
    shutil.copytree(place.path, place.away)
    former = place.path.with_name("former")
    place.path.rename(former)
    place.away.rename(place.path)
    log.append(b"two\n")
    with pytest.raises(DataDirectoryUnavailableError, match="replaced"):
        log.sync()
    again = place.logs.open(JOB, 1)
    assert again.size == 4, "what was not stored is not there"
    again.close()


def test_a_log_that_was_deleted_alone_is_not_written_on(place, log):
    for path in (place.path / "logs").rglob("*.log"):
        path.unlink()
    with pytest.raises(LeaseLostError):
        log.append(b"two\n")


# ---------------------------------------------------------------------- the doorbell


@pytest.mark.anyio
@pytest.mark.parametrize("lose", [Place.delete, Place.empty, Place.copied_back])
async def test_the_doorbell_rings_in_the_directory_that_came_instead(place, lose):
    controller, server = SocketDoorbell(place.path), SocketDoorbell(place.path)
    try:
        controller.listen()
        server.ring()
        await asyncio.wait_for(controller.wait(20), 10)
        lose(place)
        if not place.path.exists():
            controller.keep_listening()  # there is no place to listen at
            server.ring()
            place.path.mkdir()
        controller.keep_listening()
        server.ring()
        started = asyncio.get_running_loop().time()
        await controller.wait(20)
        assert asyncio.get_running_loop().time() - started < 10
        controller.keep_listening()
        controller.ring()
        await controller.wait(20)
        assert asyncio.get_running_loop().time() - started < 10
    finally:
        controller.close()
        server.close()
