"""`ci-admin doctor` as operators use it: processes on real data directories."""

import os
import subprocess
import sys
import uuid

import pytest

from ci_persistence.database.open_lock import DatabaseLock
from support.admin_reports import age, codes, report
from support.instances import Instance
from support.waiting import until_sync

# ---------------------------------------------------------------------- doctor


def test_a_healthy_instance(instance):
    done = instance.admin("doctor", "--deep")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "3 jobs: healthy"
    assert "1 running jobs have no container or process" in done.stdout
    assert report(instance.admin("doctor", "--json"))["healthy"] is True


DAMAGES = {
    "log_missing": lambda i: i.stores.logs.delete(i.jobs["finished"]),
    "log_short": lambda i: i.execute("UPDATE jobs SET log_size = 5001 WHERE log_size = 5000"),
    "artifact_damaged": lambda i: i.stores.artifacts.delete(i.jobs["finished"]),
    "secrets_missing": lambda i: i.execute(
        "UPDATE jobs SET spec = json_set(spec, '$.secrets', json('[\"TOKEN\"]')) "
        "WHERE status = 'queued'"
    ),
    "signing_secret_unusable": lambda i: i.execute(
        "INSERT INTO signing_keys (tenant, owner, key) VALUES ('local', 'wh_1', x'00')"
    ),
    "package_missing": lambda i: i.stores.packages.delete(i.jobs["queued"]),
}


@pytest.mark.parametrize("code", DAMAGES)
def test_damage_is_told_and_nothing_is_repaired_away(instance, code):
    DAMAGES[code](instance)
    before = instance.files(), instance.statuses()
    done = instance.admin("doctor", "--fix", "--json")
    assert done.returncode == 1
    assert codes(done) == [code]
    assert [finding["fixed"] for finding in report(done)["findings"]] == [False]
    assert (instance.files(), instance.statuses()) == before


def artifact_file(instance):
    job = instance.jobs["finished"]
    (path,) = (instance.data / "artifacts" / job[:2] / job).iterdir()
    return path


DEEP_DAMAGES = {
    "artifact_damaged": lambda i: artifact_file(i).write_bytes(b"bbb"),
    "package_damaged": lambda i: i.write_package(i.jobs["queued"], b"another zip"),
}


@pytest.mark.parametrize("code", DEEP_DAMAGES)
def test_checksums_are_compared_when_asked_for(instance, code):
    DEEP_DAMAGES[code](instance)
    assert instance.admin("doctor").returncode == 0
    done = instance.admin("doctor", "--deep", "--json")
    assert done.returncode == 1
    assert codes(done) == [code]


def test_a_damaged_archive_of_a_log(instance):
    job = instance.jobs["finished"]
    instance.stores.logs.compress(job, 5000)
    (archive,) = (instance.data / "logs").rglob("*.zst")
    content = bytearray(archive.read_bytes())
    content[10] ^= 0xFF
    archive.write_bytes(content)
    assert codes(instance.admin("doctor", "--deep", "--json")) == ["log_damaged"]
    assert archive.exists()


def orphans(instance):
    """One of every kind; the file of each."""
    job = str(uuid.uuid4())
    instance.write_package(job)
    instance.write_log(job, b"whose?")
    instance.write_artifacts(job, {"x": b"x"})
    instance.write_package(instance.jobs["finished"])
    secrets = instance.data / "secrets"
    secrets.mkdir()
    for name in (f"{job}.enc", f"{instance.jobs['finished']}.enc", "1.part"):
        (secrets / name).write_bytes(b"encrypted")
    (instance.data / "secret.key.1.part").write_bytes(b"half a key")
    staging = instance.data / "staging"
    (staging / "1.part").write_bytes(b"half an upload")
    (staging / "artifacts" / f"{job}.1").mkdir()
    (instance.data / "restore-20200101").mkdir()
    instance.execute("UPDATE controller_lease SET holder = 'dead', expires_at = '2020-01-01'")
    instance.execute("UPDATE finished_totals SET jobs = 77")
    instance.execute("UPDATE tenant_totals SET log_bytes = 77")
    instance.execute("DELETE FROM job_events WHERE kind = 'finished'")
    return job


ORPHANS = [
    *("artifacts_orphan", "events_wrong", "lease_stale", "log_orphan"),
    *(
        "package_orphan",
        "package_orphan",
        "secrets_orphan",
        "secrets_orphan",
        "staging_leftover",
        "staging_leftover",
    ),
    *("staging_leftover", "staging_leftover", "staging_leftover", "totals_wrong"),
]


def test_what_is_left_over_is_told_and_removed_when_asked(instance):
    whole = instance.files()
    orphans(instance)
    done = instance.admin("doctor", "--json")
    assert done.returncode == 1
    assert codes(done) == ORPHANS
    assert {finding["repairable"] for finding in report(done)["findings"]} == {True}
    done = instance.admin("doctor")
    assert done.stdout.endswith(f"3 jobs: {len(ORPHANS)} problems; --fix repairs 14 of them\n")
    done = instance.admin("doctor", "--fix")
    assert (done.returncode, done.stderr) == (0, "")
    assert len([line for line in done.stdout.splitlines() if line.startswith("fixed: ")]) == 14
    assert instance.files() == whole
    assert instance.execute("SELECT holder FROM controller_lease") == [(None,)]
    assert instance.execute("SELECT jobs FROM finished_totals") == [(1,)]
    assert instance.execute("SELECT log_bytes FROM tenant_totals") != [(77,)]
    assert instance.admin("doctor").returncode == 0


def test_while_a_server_runs_young_files_are_left_alone(instance):
    job = str(uuid.uuid4())
    instance.write_package(job)
    part = instance.data / "staging" / "1.part"
    part.write_bytes(b"an upload on its way")
    server = DatabaseLock(instance.database)
    assert server.try_share()
    try:
        done = instance.admin("doctor", "--fix", "--json")
        assert (done.returncode, codes(done)) == (0, [])
        age(part)
        age(instance.data / "packages" / f"{job}.zip")
        done = instance.admin("doctor", "--fix", "--json")
        assert (done.returncode, codes(done)) == (0, ["package_orphan", "staging_leftover"])
        assert report(done)["healthy"] is True
        assert not part.exists()
    finally:
        server.release()


def test_with_fix_no_server_can_start_meanwhile(instance):
    lock = DatabaseLock(instance.database)
    process = doctor_that_waits(instance)
    try:
        until_sync(lambda: not shared_for_a_moment(lock), what="the doctor's lock")
    finally:
        process.kill()
        process.wait()
    assert lock.try_alone()
    lock.release()


def doctor_that_waits(instance):
    """It is stuck at a pipe that stands where an artifact should be."""
    path = artifact_file(instance)
    path.unlink()
    os.mkfifo(path)
    return subprocess.Popen(
        [sys.executable, "-m", "ci_admin", "doctor", "--fix"],
        env=instance.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def shared_for_a_moment(lock):
    if lock.try_share():
        lock.release()
        return True
    return False


def test_a_database_that_is_damaged(instance):
    instance.execute("PRAGMA journal_mode=DELETE")
    with instance.database.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * 3000)
    done = instance.admin("doctor", "--json")
    assert done.returncode == 1
    assert codes(done) == ["database_damaged"]


def test_a_database_of_an_older_schema_is_not_migrated(instance):
    instance.execute("PRAGMA user_version=1")
    done = instance.admin("doctor")
    assert done.returncode == 3
    assert "start the server of this version once" in done.stderr


def test_the_disk_floor(instance):
    done = instance.admin("doctor", "--json", min_free_disk_mb=1 << 40)
    assert (done.returncode, codes(done)) == (1, ["disk_low"])


def test_an_engine_that_does_not_answer(instance, tmp_path):
    environment = instance.environment(executor="docker")
    environment["DOCKER_HOST"] = f"unix://{tmp_path}/none.sock"
    done = subprocess.run(
        [sys.executable, "-m", "ci_admin", "doctor", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, codes(done)) == (1, ["engine_unreachable"])
    assert "Containers were not compared" in report(done)["findings"][0]["message"]


def test_the_copy_of_a_running_instance_is_healthy(instance, tmp_path):
    file = tmp_path / "b.tar"
    assert instance.admin("backup", file).returncode == 0
    server = DatabaseLock(instance.database)
    assert server.try_share()
    copy = Instance(tmp_path / "copy")
    copy.directory.mkdir()
    refused = copy.admin("restore", file)
    assert refused.returncode == 3
    assert "--new-instance" in refused.stderr
    assert copy.admin("restore", "--new-instance", file).returncode == 0
    server.release()
    assert copy.admin("doctor", "--deep").returncode == 0
    assert set(copy.statuses().values()) == {"completed", "failed"}


# ---------------------------------------------------------------------- kept packages


def test_kept_packages_that_cannot_be_used_are_forgotten(instance):
    kept, lost, damaged = (instance.add(package=b"a zip", keep=True) for _ in range(3))
    assert instance.admin("doctor", "--deep").returncode == 0
    instance.stores.packages.delete(lost)
    instance.write_package(damaged, b"another zip")
    assert codes(instance.admin("doctor", "--json")) == ["kept_package_lost"]
    done = instance.admin("doctor", "--deep", "--fix", "--json")
    assert (done.returncode, codes(done)) == (0, ["kept_package_lost"] * 2)
    found = dict(instance.execute("SELECT job_id, package_kept FROM jobs WHERE package_kept"))
    assert found == {kept: 1}
    assert (instance.package(kept), instance.package(damaged)) == (b"a zip", None)
    assert instance.admin("doctor", "--deep").returncode == 0


def test_a_package_that_is_about_to_go_is_none_without_a_job(instance):
    job = instance.add(keep=True)
    age(instance.data / "packages" / f"{job}.zip")
    instance.execute("UPDATE jobs SET package_kept = 0 WHERE job_id = ?", job)
    assert instance.admin("doctor").returncode == 0
    instance.execute("DELETE FROM package_deletions")
    assert codes(instance.admin("doctor", "--json")) == ["package_orphan"]
