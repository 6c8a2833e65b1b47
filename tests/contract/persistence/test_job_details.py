"""What is kept beside the rows (ports JobDetails and ResourceStore)."""

import pytest

from ci_common.coverage_files import CoverageFiles, FileCoverage
from ci_common.job import JobStatus, Outcome, Reason
from ci_common.ports.rows import Ending
from ci_common.resources import ResourceSample, ResourceSeries
from ci_persistence.sqlite.job_details import SqliteJobDetails, SqliteResourceStore
from support.jobs import NOON

pytestmark = pytest.mark.anyio

SERIES = ResourceSeries(1, 4.0, (ResourceSample(2.0, 0.5, 100), ResourceSample(6.0, 3.25, 1 << 40)))
MORE = SERIES.with_usage(10, SERIES.samples[-1])
FILES = CoverageFiles((FileCoverage("ü/a.py", 1, 9, 2, 4), FileCoverage("b.py", 0, 0)), 7)
PASSED = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 0", 0)


async def test_samples_are_saved_for_the_attempt_that_runs(rows):
    store, details = SqliteResourceStore(rows.database, "me"), SqliteJobDetails(rows.database)
    job_id = await rows.in_status(JobStatus.RUNNING)
    assert await store.load(job_id) is None
    await store.save({job_id: SERIES, "gone": SERIES})
    assert await details.resources(job_id) == await store.load(job_id) == SERIES
    await store.save({job_id: MORE})
    assert await store.load(job_id) == MORE
    assert await details.resources_of([job_id, "gone"]) == {job_id: MORE}
    assert await details.resources_of([]) == {}
    await rows.transitions.retry(job_id, 1)
    await store.save({job_id: SERIES})
    assert await store.load(job_id) == MORE, "that was another attempt"
    await rows.lease.release("me")
    await rows.lease.acquire("another", NOON, 60)
    await store.save({job_id: ResourceSeries(2)})
    assert await store.load(job_id) == MORE, "the lease is another's"


async def test_the_end_has_the_last_word_and_takes_all_along(rows):
    store, details = SqliteResourceStore(rows.database, "me"), SqliteJobDetails(rows.database)
    job_id = await rows.in_status(JobStatus.RUNNING)
    await store.save({job_id: SERIES})
    ending = Ending(PASSED, 0, coverage_files=FILES, resources=MORE)
    assert await rows.transitions.finish(job_id, ending, NOON)
    await store.save({job_id: SERIES})
    assert await details.resources(job_id) == MORE
    assert await details.coverage_files(job_id) == FILES
    assert await details.coverage_files("another") is None
    await rows.database.write("DELETE FROM jobs WHERE job_id = ?", (job_id,))
    (left,) = await rows.database.fetch_all("SELECT count(*) FROM job_details")
    assert left[0] == 0
