"""SIGKILL while a job is run again, ends, or loses its package: no live job is without its package,
and no file stays for ever.
"""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from ci_common.job import JobStatus
from ci_controller.housekeeping.kept_packages import KeptPackages
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.totals_check import totals_are_wrong
from support import projects
from support.instances import ROOT
from support.intake_place import ANN, TRUE, Place, pieces
from support.package_kills import POINTS

HOUR = 3600


async def submitted(directory):
    place = await Place().open(directory)
    job = await place.intake.accept(ANN, pieces(projects.ANY), TRUE)
    await place.rows.database.close()
    return job.job_id


async def settled(directory):
    """What is there when the next controller has worked, an hour later: every job, whether it has
    a package by its row, and whether by its file.
    """
    place = await Place().open(directory)
    database = place.rows.database
    for path in (place.path / "packages").iterdir():
        os.utime(path, (path.stat().st_mtime - 2 * HOUR,) * 2)
    kept = KeptPackages(SqliteJobRetention(database, "me"), place.packages, 9999, 1 << 30)
    await kept.delete_files(20)
    await kept.sweep(HOUR)
    rows = await database.fetch_all("SELECT job_id FROM jobs ORDER BY seq")
    jobs = [await place.job(row["job_id"]) for row in rows]
    files = {path.stem for path in (place.path / "packages").iterdir()}
    told = [(job.status, job.has_package) for job in jobs]
    assert {job.job_id for job in jobs if job.has_package} == files
    for job_id in files:
        with place.packages.open(job_id) as file:
            assert file.read() == projects.ANY
    assert not await totals_are_wrong(database)
    assert await SqliteJobRetention(database, "me").package_deletions(9) == []
    await database.close()
    return told


LIVE, ENDED = (JobStatus.QUEUED, True), (JobStatus.CANCELLED, False)
KEPT = (JobStatus.CANCELLED, True)
EXPECTED = {
    "before the link": [LIVE],
    "after the link": [LIVE],
    "after the row": [LIVE, LIVE],
    "before the end": [LIVE, LIVE],
    "after the end, not kept": [LIVE, ENDED],
    "after the end, kept": [KEPT, ENDED],
    "after the drop": [ENDED, ENDED],
    "after the file": [ENDED, ENDED],
    "after all": [ENDED, ENDED],
}


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at(point, tmp_path):
    job_id = asyncio.run(submitted(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "support.package_kills", point, str(tmp_path), job_id],
        cwd=ROOT / "tests",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert asyncio.run(settled(tmp_path)) == EXPECTED[point]
