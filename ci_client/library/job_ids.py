"""Ids of jobs: UUIDs, of which users may write the beginning alone."""

import re

from ci_client.errors import JobNotFound

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ID_PREFIX = re.compile(r"[0-9a-f-]{4,36}")


def checked_job_id(job_id: str) -> str:
    """The id, or the four or more characters that it begins with, in lower case. What cannot be
    that of a job is JobNotFound.
    """
    canonical = job_id.strip().lower()
    if not _ID_PREFIX.fullmatch(canonical):
        raise JobNotFound(job_id)
    return canonical


def is_whole_id(job_id: str) -> bool:
    """Whether it is a job's whole id."""
    return _UUID.fullmatch(job_id) is not None
