"""Samples of several jobs at once, for those who may read the jobs."""

import pytest

from ci_common.job import JobStatus, Visibility
from ci_common.policy import Policy
from ci_common.principal import Principal, Role
from ci_common.resources import ResourceSeries
from ci_server.services.job_details import JobDetailService
from ci_server.services.jobs import JobService
from support.jobs import a_job

pytestmark = pytest.mark.anyio


class Details:
    """Samples of the first attempts of all jobs but one."""

    def __init__(self, without):
        self.asked = []
        self._without = without

    async def resources_of(self, job_ids):
        self.asked += job_ids
        return {one: ResourceSeries(1) for one in job_ids if one != self._without}


def job(user="ann", tenant="acme", **about):
    return a_job(JobStatus.RUNNING, user=user, tenant=tenant, **about)


async def test_only_of_jobs_that_one_may_read_and_of_their_present_attempt():
    own, private = job(), job(visibility=Visibility.PRIVATE)
    colleagues, hidden = job("bob"), job("bob", visibility=Visibility.PRIVATE)
    others, again, without = job("ann", "globex"), job(attempt=2), job()
    details = Details(without.job_id)
    service = JobDetailService(
        JobService(None, None, Policy("operations"), None, None, None), details
    )
    jobs = [own, own, private, colleagues, hidden, others, again, without]
    ann = Principal("acme", "ann", Role.SUBMITTER, "key 1")
    found = await service.resources_of(ann, jobs)
    assert set(found) == {own.job_id, private.job_id, colleagues.job_id}
    assert sorted(details.asked) == sorted([*found, again.job_id, without.job_id])
    assert set(await service.resources_of(ann, [others, hidden])) == set()
