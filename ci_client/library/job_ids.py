"""Ids of jobs: UUIDs, of which users may write the beginning alone."""

import re

from ci_client.errors import JobNotFound, UsageError

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TOO_SHORT = re.compile(r"[0-9a-f-]{0,3}")
_ID_PREFIX = re.compile(r"[0-9a-f-]{4,36}")


def checked_job_id(job_id: str) -> str:
    """The id, or the four or more characters that it begins with, in lower case. What cannot be
    that of a job is JobNotFound, and the beginning of an id that is too short a UsageError.
    """
    if _TOO_SHORT.fullmatch(job_id.strip().lower()):
        raise UsageError(
            f"The job id {job_id!r} is too short: give at least 4 characters of the id. `ci list` "
            "shows your jobs."
        )
    if not may_be_id(job_id):
        raise JobNotFound(job_id)
    return job_id.strip().lower()


def may_be_id(text: str) -> bool:
    """Whether a job's id can begin like this."""
    return _ID_PREFIX.fullmatch(text.strip().lower()) is not None


def is_whole_id(job_id: str) -> bool:
    """Whether it is a job's whole id."""
    return _UUID.fullmatch(job_id) is not None
