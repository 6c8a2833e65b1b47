"""Backups of instances with a job of every kind, and what comes back of them."""

import random
import tarfile
import uuid

import pytest

from ci_common.job import JobStatus
from ci_persistence.backup.backup import Backup
from ci_persistence.backup.restore import Restore, RestorePlan
from support.instances import ROOT, Instance

SOME_ID = str(uuid.UUID(int=7))
ROOT_FIXTURES = ROOT / "tests" / "fixtures" / "databases"
LIVE_LOG = b"still writing\n" * 1000
BIG_LOG = random.Random(1).randbytes(700_000) + b"the end\n"
ARTIFACTS = {
    "output/a.txt": b"a",
    "output/b c\n.bin": bytes(range(256)) * 5000,
    "output/a2.txt": b"a",
}


@pytest.fixture
def source(tmp_path):
    return Instance(tmp_path / "source")


@pytest.fixture
def target(tmp_path):
    return Instance(tmp_path / "target")


def back_up(instance, file, **options):
    return Backup(instance.database, instance.stores, file).make(**options)


def restore(instance, file, **options):
    return Restore(RestorePlan(file, instance.database, instance.data, **options)).run()


def names_in(file):
    with tarfile.open(file) as tar:
        return tar.getnames()


def filled(instance):
    """A job of every kind; their ids."""
    return {
        "queued": instance.add(JobStatus.QUEUED, package=b"zip of the queued one"),
        "running": instance.add(JobStatus.RUNNING, log=LIVE_LOG, package=b"zip of the running one"),
        "finished": instance.add(log=BIG_LOG, artifacts=ARTIFACTS),
        "silent": instance.add(log=b""),
    }


def check_filled(instance, jobs):
    assert instance.statuses() == {
        jobs["queued"]: "queued",
        jobs["running"]: "running",
        jobs["finished"]: "completed",
        jobs["silent"]: "completed",
    }
    assert instance.package(jobs["queued"]) == b"zip of the queued one"
    assert instance.package(jobs["running"]) == b"zip of the running one"
    assert instance.log(jobs["running"]) == LIVE_LOG
    assert instance.log(jobs["finished"]) == BIG_LOG
    assert instance.artifacts(jobs["finished"]) == ARTIFACTS


def check_consistent(instance):
    """No row speaks of bytes that are not there."""
    for job, status, log_size in instance.execute("SELECT job_id, status, log_size FROM jobs"):
        if status == "completed":
            assert len(instance.log(job)) == log_size
            instance.artifacts(job)
            assert instance.package(job) is None
        elif status != "failed":
            assert instance.package(job) is not None


@pytest.fixture
def archive(source, tmp_path):
    source.jobs = filled(source)
    back_up(source, tmp_path / "b.tar")
    return tmp_path / "b.tar"


def nothing_changed(instance):
    return not instance.directory.exists() or instance.files() == []
