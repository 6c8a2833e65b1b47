"""What `ci-admin` says, and instances for it to speak of."""

import json
import os
import time

import pytest

from ci_common.job import JobStatus
from support.instances import Instance

AN_HOUR = 3601


@pytest.fixture
def instance(tmp_path):
    instance = Instance(tmp_path / "ci")
    instance.jobs = {
        "finished": instance.add(log=b"line\n" * 1000, artifacts={"output/a": b"aaa"}),
        "queued": instance.add(JobStatus.QUEUED),
        "running": instance.add(JobStatus.RUNNING, log=b"so far\n"),
    }
    return instance


def report(done):
    return json.loads(done.stdout)


def codes(done):
    return sorted(finding["code"] for finding in report(done)["findings"])


def age(path, seconds=AN_HOUR):
    """Make a file look as if nobody had written to it for so long."""
    then = time.time() - seconds
    os.utime(path, (then, then))
