"""What is wrong with a job, case by case; "nothing" included."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ci_admin.diagnosis import REPAIRABLE, Code, World, diagnose
from ci_common.job import JobStatus
from ci_persistence.backup.inventory import JobRow, StoredJob
from support.jobs import NOON

ID = "00000001-1d98-473b-97cd-ca98a65347dd"
QUEUED = JobRow(ID, JobStatus.QUEUED, None, None, 0, "a" * 64)
RUNNING = replace(QUEUED, status=JobStatus.RUNNING, started_at=NOON)
ENDED = replace(
    RUNNING, status=JobStatus.COMPLETED, ended_at=NOON - timedelta(hours=1), log_size=10
)
JUST_ENDED = replace(ENDED, ended_at=NOON - timedelta(seconds=1))

LIVE = StoredJob(ID, QUEUED, package=True)
FINISHED = StoredJob(ID, ENDED, log_size=10)
GONE = StoredJob(ID, None)

WORLD = World(NOON, frozenset(), frozenset({ID}), controller_lives=True)
WITH_WORKLOAD = replace(WORLD, workloads=frozenset({ID}))
WITHOUT_CONTROLLER = replace(WITH_WORKLOAD, controller_lives=False)
YOUNG_PACKAGE = replace(WORLD, packages=frozenset())
WITHOUT_PACKAGE = replace(QUEUED, package_sha256=None)
KEEPING = replace(ENDED, keeps_package=True)
ASKING = replace(QUEUED, has_secrets=True)
WITH_SECRETS = replace(WORLD, secrets=frozenset({ID}))
ENGINE_DOWN = replace(WORLD, workloads=None)

HEALTHY = [
    ("queued", LIVE, WORLD),
    ("queued without a package", StoredJob(ID, WITHOUT_PACKAGE), WORLD),
    ("running", replace(LIVE, row=RUNNING, log_size=3), WITH_WORKLOAD),
    ("running, the workload not there yet or any more", replace(LIVE, row=RUNNING), WORLD),
    ("running, the engine down", replace(LIVE, row=RUNNING), ENGINE_DOWN),
    ("running, artifacts collected but not recorded", replace(LIVE, artifacts=True), WORLD),
    ("finished", FINISHED, WORLD),
    ("finished, a longer log", replace(FINISHED, log_size=11), WORLD),
    (
        "finished without a log",
        replace(FINISHED, row=replace(ENDED, log_size=0), log_size=0),
        WORLD,
    ),
    ("finished with artifacts", replace(FINISHED, artifacts=True, recorded_artifacts=2), WORLD),
    (
        "finished, artifacts about to go",
        replace(FINISHED, artifacts=True, to_be_deleted=True),
        WORLD,
    ),
    ("just finished, being cleaned up", replace(FINISHED, row=JUST_ENDED), WITH_WORKLOAD),
    ("just finished, its package still there", replace(FINISHED, package=True), YOUNG_PACKAGE),
    ("finished, its package kept", replace(FINISHED, row=KEEPING, package=True), WORLD),
    (
        "finished, its package about to go",
        replace(FINISHED, package=True, package_to_be_deleted=True),
        WORLD,
    ),
    (
        "deleted, its package to follow",
        replace(GONE, package=True, package_to_be_deleted=True),
        WORLD,
    ),
    ("an upload whose row is about to come", replace(GONE, package=True), YOUNG_PACKAGE),
    ("nothing any more", GONE, WORLD),
    ("queued with secrets", replace(LIVE, row=ASKING, secrets=True), WITH_SECRETS),
    ("secrets whose row is about to come", replace(GONE, secrets=True), WORLD),
    ("just finished, its secrets still there", replace(FINISHED, secrets=True), WORLD),
    ("deleted by retention, files to follow", replace(GONE, log=True, to_be_deleted=True), WORLD),
]

WRONG = [
    (replace(LIVE, row=ASKING), WORLD, [Code.SECRETS_MISSING]),
    (replace(FINISHED, secrets=True), WITH_SECRETS, [Code.SECRETS_ORPHAN]),
    (replace(GONE, secrets=True), WITH_SECRETS, [Code.SECRETS_ORPHAN]),
    (replace(LIVE, package=False), WORLD, [Code.PACKAGE_MISSING]),
    (replace(LIVE, row=WITHOUT_PACKAGE), WORLD, [Code.PACKAGE_ORPHAN]),
    (replace(LIVE, row=RUNNING, package=False), WITH_WORKLOAD, [Code.PACKAGE_MISSING]),
    (replace(LIVE, package_damage="x"), WORLD, [Code.PACKAGE_DAMAGED]),
    (replace(FINISHED, log_size=0), WORLD, [Code.LOG_MISSING]),
    (replace(FINISHED, log_size=9), WORLD, [Code.LOG_SHORT]),
    (replace(FINISHED, log_size=0, log_damage="x"), WORLD, [Code.LOG_DAMAGED]),
    (replace(FINISHED, artifact_damage=("a", "b")), WORLD, [Code.ARTIFACT_DAMAGED] * 2),
    (replace(FINISHED, artifacts=True), WORLD, [Code.ARTIFACTS_ORPHAN]),
    (replace(FINISHED, package=True), WORLD, [Code.PACKAGE_ORPHAN]),
    (replace(FINISHED, row=KEEPING), WORLD, [Code.KEPT_PACKAGE_LOST]),
    (
        replace(FINISHED, row=KEEPING, package=True, package_damage="x"),
        WORLD,
        [Code.KEPT_PACKAGE_LOST],
    ),
    (FINISHED, WITH_WORKLOAD, [Code.WORKLOAD_ORPHAN]),
    (replace(FINISHED, row=JUST_ENDED), WITHOUT_CONTROLLER, [Code.WORKLOAD_ORPHAN]),
    (replace(GONE, package=True), WORLD, [Code.PACKAGE_ORPHAN]),
    (replace(GONE, log=True), WORLD, [Code.LOG_ORPHAN]),
    (replace(GONE, artifacts=True), WORLD, [Code.ARTIFACTS_ORPHAN]),
    (GONE, WITH_WORKLOAD, [Code.WORKLOAD_ORPHAN]),
    (
        replace(GONE, package=True, log=True, artifacts=True),
        WITH_WORKLOAD,
        [Code.WORKLOAD_ORPHAN, Code.PACKAGE_ORPHAN, Code.LOG_ORPHAN, Code.ARTIFACTS_ORPHAN],
    ),
]


@pytest.mark.parametrize(
    ("job", "world"), [case[1:] for case in HEALTHY], ids=[c[0] for c in HEALTHY]
)
def test_nothing_is_wrong(job, world):
    assert diagnose(job, world) == []


@pytest.mark.parametrize(("job", "world", "codes"), WRONG)
def test_what_is_wrong(job, world, codes):
    found = diagnose(job, world)
    assert [finding.code for finding in found] == codes
    assert {finding.job_id for finding in found} == {ID}
    assert all(finding.message for finding in found)


def test_what_holds_somebodys_data_is_never_repaired_away():
    needed = {
        *(Code.LOG_MISSING, Code.LOG_SHORT, Code.LOG_DAMAGED, Code.ARTIFACT_DAMAGED),
        *(Code.PACKAGE_MISSING, Code.PACKAGE_DAMAGED, Code.DATABASE_DAMAGED),
    }
    assert not needed & REPAIRABLE
