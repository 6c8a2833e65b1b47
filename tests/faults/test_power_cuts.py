"""Power cuts at random points of a job's life and of a backup, on ext4 and on XFS.

The database and the data directory are on a file system of their own. A cut shuts it down without
flushing its journal, so whatever was not synced and was still in the kernel's memory is lost. All
processes of the instance are killed, the file system is mounted again (journal replay), and a
server is started. One instance lives through several cuts, and after each of them everything it
ever acknowledged is checked.

Not covered: disks with a volatile write cache that lose or reorder writes (what was written to the
device is kept, flushed or not), torn sectors, other file systems. The engine's data is not on the
disk that is cut: containers keep running through the cut and finish. What a real power cut does to
running containers is not tested here.

Many cuts in a short time: `pytest tests/faults/test_power_cuts.py --fault-repeats 25 -p no:xdist`.
"""

import threading
import time

import pytest

from ci_persistence.backup.archive import ArchiveReader
from support.accepted_jobs import SeededJob
from support.backups import restore
from support.cut_instances import CutInstance, EndlessJob, SecretJob
from support.instances import Instance
from support.loop_disks import KINDS, loop_disk
from support.seeded_output import artifact
from support.waiting import until_sync

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

_FRESH = 0.25
"""Probability that a cut hits a new instance instead of the one from the previous cut."""

_AGAIN = 0.25
"""Probability of a second cut while the next server starts and recovers."""


class Plant:
    """Two disks, and the instance on the first of them."""

    def __init__(self, disk, other, directory):
        self.disk = disk
        self.other = other
        self._directory = directory
        self._made = 0
        self._instance = None

    def take(self, dice):
        """The instance for the next cut; it is used again only after `give_back`."""
        if self._instance is not None and dice.random() < _FRESH:
            self.retire()
        instance, self._instance = self._instance, None
        return instance or self._make(dice)

    def give_back(self, instance):
        """Keep the instance for the next cut."""
        self._instance = instance

    def retire(self):
        instance, self._instance = self._instance, None
        if instance is not None:
            try:
                instance.check_nothing_left()
            finally:
                instance.close()

    def _make(self, dice):
        for disk in (self.disk, self.other):
            disk.format()
        self._made += 1
        directory = self._directory / str(self._made)
        instance = CutInstance(self.disk, directory, log_compress_seconds=dice.choice([0, 60]))
        instance.server.start()
        return instance


@pytest.fixture(scope="module", params=KINDS)
def plant(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    with loop_disk(request.param) as disk, loop_disk(request.param) as other:
        plant = Plant(disk, other, directory)
        yield plant
        plant.retire()


@pytest.fixture
def instance(plant, dice):
    instance = plant.take(dice)
    instance.passed = False
    yield instance
    if instance.passed:
        plant.give_back(instance)
    else:
        instance.close()


def recover(instance, dice):
    """Check everything after a cut, and sometimes after another one during the start."""
    if dice.random() < _AGAIN:
        instance.cut_while_starting(dice.uniform(0.6, 1.8))
    instance.check(dice)
    instance.passed = True


def sleep(seconds):
    """The random point itself."""
    time.sleep(seconds)


def in_threads(functions):
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    return threads


def join(threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_cut_loses_what_was_not_synced(plant):
    """Otherwise the tests below would prove nothing."""
    disk = plant.other
    (disk.path / "lost").write_bytes(b"x" * 10_000)
    disk.cut()
    with pytest.raises(OSError, match="Input/output error"):
        (disk.path / "late").write_bytes(b"x")
    disk.remount()
    assert [path.name for path in disk.path.iterdir() if path.is_file()] == []


@pytest.mark.fault(
    "power cut during submissions",
    "the file system of the database and the data directory (ext4, XFS) is shut down without a "
    "journal flush, and all processes are killed, while three clients submit jobs, some with "
    "secrets, and `ci-admin secret set` runs; one time in four, again during the next start",
    "every acknowledged job ran to its end, once; acknowledged secrets have the values that were "
    "set; the database passes its integrity check (also after the other power cuts)",
    repeats=1,
)
def test_during_submissions(instance, dice):
    def client(jobs):
        for job in jobs:
            instance.submit(job)

    jobs = [job_with_secrets(dice) if dice.random() < 0.3 else a_job(dice) for _ in range(9)]
    name, value = f"KEPT_{dice.getrandbits(32)}", f"{dice.getrandbits(256):x}"
    before = len(instance.acknowledged)
    setting = instance.admin("secret", "set", name, value=value)
    if dice.random() < 0.5:  # until the secret is about to be set
        sleep(dice.uniform(0.3, 1))
    threads = in_threads([lambda part=jobs[n::3]: client(part) for n in range(3)])
    wanted = before + dice.randint(0, 8)
    until_sync(lambda: len(instance.acknowledged), lambda count: count >= wanted, "answers")
    sleep(dice.uniform(0, 0.03))
    instance.cut(setting)
    join(threads)
    if succeeded(setting):
        instance.secrets[name] = value
    recover(instance, dice)


def a_job(dice, **options):
    return SeededJob(f"{dice.random()}", **{"count": 50, **options})


def job_with_secrets(dice):
    names = [f"SENT_{number}" for number in range(dice.randint(1, 3))]
    secrets = {name: f"{dice.getrandbits(256):x}" for name in names}
    return SecretJob(f"{dice.random()}", secrets=secrets)


def succeeded(process):
    """Whether it reported success before it was killed."""
    said = process.stdout.read()
    process.stdout.close()
    assert process.returncode in (0, -9) or "Input/output error" in said, said
    return process.returncode == 0


@pytest.mark.fault(
    "power cut while jobs run",
    "the same while three jobs write, some finish and a fourth is cancelled; containers keep "
    "running",
    "the jobs completed at their first attempt with complete logs; an acknowledged cancel ended "
    "its job",
    repeats=1,
)
def test_while_jobs_run(instance, dice):
    jobs = [a_job(dice, count=300, seconds=dice.uniform(0.3, 1.5)) for _ in range(3)]
    ids = [instance.submit(job, follow=True) for job in jobs]
    endless = instance.submit(EndlessJob(f"{dice.random()}", table={"grace": "1s"}), follow=True)
    instance.server.under_way(dice.choice(ids), b"\n")
    delay = dice.uniform(0, 1)

    def cancel():
        sleep(max(delay + dice.uniform(-0.2, 0.2), 0))
        instance.cancel(endless)

    threads = in_threads([cancel])
    sleep(delay)
    instance.cut()
    join(threads)
    recover(instance, dice)


@pytest.mark.fault(
    "power cut while jobs end",
    "the same within 60 ms after the API reported one of four short jobs as finished; logs are "
    "compressed a minute later, or at once",
    "what was reported is still true: result, times, the complete log, artifacts",
    repeats=1,
)
def test_while_jobs_end(instance, dice):
    for _ in range(4):
        job = a_job(dice, count=dice.randint(1, 4000), artifacts=2, artifact_size=30_000)
        instance.submit(job, follow=True)
    wanted = dice.randint(1, 4)
    until_sync(instance.look, lambda count: count >= wanted, "ended jobs", 60)
    sleep(dice.uniform(0, 0.06))
    instance.cut()
    recover(instance, dice)


@pytest.mark.fault(
    "power cut during a backup",
    "the same during `ci-admin backup` to the same disk, or to another that loses power at the "
    "same moment; or just after it reported success",
    "a backup that reported success restores, with all jobs, logs and artifacts; a file with the "
    "backup's name, if there is one, is a complete backup",
    repeats=1,
)
def test_during_a_backup(instance, plant, dice, tmp_path):
    ended = [instance.submit(a_job(dice, artifacts=1, artifact_size=50_000)) for _ in range(2)]
    for job_id in ended:
        instance.server.finished(job_id)
    instance.look()
    for _ in range(2):
        instance.submit(a_job(dice, count=200, seconds=1), follow=True)
    known, told = set(instance.acknowledged), dict(instance.told)
    target, disks = dice.choice([(plant.disk, ()), (plant.other, (plant.other,))])
    file = target.path / dice.choice(["backup.tar", "backup.tar.gz"])
    file.unlink(missing_ok=True)
    process = instance.admin("backup", file)
    part = file.with_name(f"{file.name}.part")
    until = dice.choice([lambda: True, part.exists, file.exists, lambda: process.poll() == 0])
    until_sync(lambda: until() or process.poll() is not None, what="the backup")
    sleep(dice.choice([dice.uniform(0, 0.02), dice.uniform(0, 0.7)]))
    instance.cut(process, disks=disks)
    if succeeded(process):
        check_backup(instance, file, known, told, tmp_path)
    elif file.exists():
        ArchiveReader(file).verify()
    recover(instance, dice)


def check_backup(instance, file, known, told, directory):
    """Everything that was known before the backup started is in it."""
    copy = Instance(directory / "copy")
    restore(copy, file, new_instance=True)
    assert known <= copy.statuses().keys()
    for job_id, row in told.items():
        job = instance.acknowledged.get(job_id)
        if job is not None and row["status"] == "completed":
            assert copy.log(job_id) == job.output
            contents = [artifact(job.seed, n, job.artifact_size) for n in range(job.artifacts)]
            assert [*copy.artifacts(job_id).values()] == contents
