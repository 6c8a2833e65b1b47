"""Files of a workload as a test tells them, for what collects artifacts."""

import threading
from datetime import UTC, datetime, timedelta

from ci_common.job import Job, JobSpec, JobStatus, Package
from ci_common.ports.workloads import Workload, WorkloadFile, WorkloadState

JOB = "0b5d6f3e-9d0a-4c39-8f0e-3f1d2c4b5a69"
STARTED = datetime(2030, 1, 1, 12, tzinfo=UTC)
REPORT = b'<testsuite><testcase name="t"/></testsuite>'


class Files:
    """The files of one answer; a value that is an error is raised in its place."""

    def __init__(self, files):
        self.files = files
        self.closed = threading.Event()

    def __iter__(self):
        for path, value in self.files.items():
            if isinstance(value, Exception):
                raise value
            if isinstance(value, WorkloadFile):
                yield value
            else:
                later = STARTED + timedelta(seconds=1)
                yield WorkloadFile(path, len(value), later, iter([value[:3], value[3:]]))

    def close(self):
        self.closed.set()


class Executor:
    """`answers` by root: files by path, an error, or nothing."""

    def __init__(self, answers):
        self.answers = answers
        self.given = []

    async def files(self, job_id, path):
        answer = self.answers.get(path)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            return None
        self.given.append(answer if isinstance(answer, Files) else Files(answer))
        return self.given[-1]


def job(*globs):
    return Job(
        JOB,
        "local",
        "local",
        JobSpec(("true",), artifacts=globs or ("output/**",)),
        Package("0" * 64, 0),
        JobStatus.RUNNING,
        STARTED,
    )


EXITED = Workload(JOB, WorkloadState.EXITED, exit_code=0, started_at=STARTED)
