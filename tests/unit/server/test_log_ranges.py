"""Parts of logs over HTTP, where a reader is ahead of what is written."""

import pytest

from ci_common.job import JobStatus
from ci_server.http.byte_range import ranged_log
from support.jobs import a_job


class Logs:
    def size(self, job):
        return 10


@pytest.mark.parametrize(
    ("header", "status", "length", "shown"),
    [
        (None, 200, "0", None),
        ("bytes=-5", 200, "0", None),
        ("bytes=0-", 416, None, "bytes */0"),
    ],
)
def test_a_live_log_that_ends_before_the_offset_is_empty_there(header, status, length, shown):
    """A power cut loses the last bytes of a log, which readers may have had."""
    job = a_job(status=JobStatus.RUNNING)
    answer = ranged_log(Logs(), job, 1000, header, 30.0)
    assert answer.status_code == status
    assert answer.headers.get("content-range") == shown
    if length is not None:
        assert answer.headers["content-length"] == length
