"""What became of a run, from what its job left."""

import io

import pytest

from ci_common.errors import ArtifactNotFoundError, StorageUnavailableError
from ci_common.job import Artifact, JobStatus
from ci_common.run import Run, RunRequest
from ci_server.services.failures import Failures
from ci_server.services.run_results import RunResults
from support.jobs import a_job

pytestmark = pytest.mark.anyio

RUN = Run(RunRequest("run_0123456789ab", "ann", {}), a_job(JobStatus.COMPLETED))
DOCUMENT = b'{"success": true, "top_upregulated": [{"gene": "SYN1"}]}'


class Left:
    """What a job left: its result alone, or an error. Counts how often it was opened."""

    def __init__(self, content):
        self.content = content
        self.opened = 0

    async def artifact(self, job_id, path):
        return Artifact(path, 9, "hash") if path == "output/result.json" else None

    def open(self, job_id, artifact):
        self.opened += 1
        if isinstance(self.content, Exception):
            raise self.content
        return io.BytesIO(self.content)

    def results(self):
        return RunResults(self, self, Failures(self))


async def test_only_the_summary_is_remembered():
    left = Left(DOCUMENT)
    results = left.results()
    for _ in range(3):
        assert (await results.end(RUN)).result.top_upregulated == ()
    assert left.opened == 1
    for _ in range(2):
        assert (await results.whole_end(RUN)).result.top_upregulated == ({"gene": "SYN1"},)
    assert left.opened == 3


async def test_a_result_that_cannot_be_read_now_is_not_that_of_a_failure():
    left = Left(OSError("away"))
    results = left.results()
    assert (await results.end(RUN)).problem.endswith("cannot be read now")
    with pytest.raises(StorageUnavailableError, match="cannot be read now"):
        await results.whole_end(RUN)
    left.content = DOCUMENT
    assert (await results.whole_end(RUN)).result.success
    assert (await results.end(RUN)).result.success


async def test_a_result_that_is_not_stored_any_more():
    results = Left(ArtifactNotFoundError("it is not stored any more")).results()
    end = await results.whole_end(RUN)
    assert (end.result, end.files) == (None, {})
    assert "not stored any more" in end.problem
