"""Jobs in the words of the Job Worker service, and errors as its statuses."""

import grpc
import pytest

from ci_common import errors
from ci_common.job import JobStatus, Outcome, Reason, ResourceLimits
from ci_server.grpc.errors import STATUS_OF_CODE
from ci_server.grpc.present import exit_code_of, fields_of, status_of
from ci_server.http.errors import STATUS_OF_CODE as HTTP_STATUS_OF_CODE
from support.jobs import a_job

COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


@pytest.mark.parametrize(
    ("status", "reason", "code", "told", "exit_code"),
    [
        (JobStatus.QUEUED, None, None, "INITIALIZING", 0),
        (JobStatus.INITIALIZING, None, None, "INITIALIZING", 0),
        (JobStatus.RUNNING, None, None, "RUNNING", 0),
        (COMPLETED, Reason.EXIT, 0, "COMPLETED", 0),
        (COMPLETED, Reason.LOG_LIMIT, 0, "COMPLETED", 0),
        (COMPLETED, Reason.EXIT, 3, "FAILED", 3),
        (COMPLETED, Reason.EXIT, 127, "FAILED", 127),
        (COMPLETED, Reason.EXIT, 137, "FAILED", 137),
        (COMPLETED, Reason.OOM, 137, "FAILED", -1),
        (FAILED, Reason.TIMEOUT, 137, "FAILED", -1),
        (FAILED, Reason.IMAGE_UNAVAILABLE, None, "FAILED", -1),
        (CANCELLED, Reason.CANCELLED, 143, "STOPPED", -1),
        (CANCELLED, Reason.CANCELLED, None, "STOPPED", -1),
    ],
)
def test_statuses_and_exit_codes(status, reason, code, told, exit_code):
    outcome = None if reason is None else Outcome(status, reason, "so", code)
    job = a_job(status, outcome=outcome, log_size=None if outcome is None else 0)
    assert (status_of(job), exit_code_of(job)) == (told, exit_code)


def test_numbers_that_no_int32_holds():
    limits = ResourceLimits(cpu_percent=250, block_io_bytes=1 << 40)
    fields = fields_of(a_job(command=("a", "b", "c"), limits=limits))
    assert (fields["command"], fields["args"]) == ("a", ["b", "c"])
    assert (fields["maxCPU"], fields["maxMemory"], fields["maxIOBPS"]) == (250, 0, 2**31 - 1)


def test_every_code_is_one_of_the_servers():
    assert STATUS_OF_CODE.keys() <= HTTP_STATUS_OF_CODE.keys()


def test_limits_are_told_from_what_is_not_ready():
    def codes(status):
        return {code for code, own in STATUS_OF_CODE.items() if own is status}

    limits = {one.code for one in errors.LimitReachedError.__subclasses__()}
    assert codes(grpc.StatusCode.RESOURCE_EXHAUSTED) == {
        *limits,
        errors.LimitReachedError.code,
        "quota_exceeded",
    }
    assert "disk_full" in codes(grpc.StatusCode.UNAVAILABLE)
