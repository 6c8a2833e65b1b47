"""Previews: a URL at which a browser shows the artifacts of one job, without other credentials.

Reports load files beside them, and a page whose scripts may do nothing sends no cookie for them. So
the right to read is in the path, where relative links keep it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ci_common.errors import ArtifactNotFoundError, GrantExpiredError, InvalidGrantError
from ci_common.job import Artifact, Job
from ci_common.principal import Origin, Principal
from ci_server.access.auth.job_grants import JobGrants
from ci_server.services.jobs import JobService

PREFIX = "pv1."
PREVIEW_MINUTES = 15
INDEX = "index.html"
"""What a directory shows."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What lets its holder's browser show the artifacts of one job."""

    grant: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PreviewedArtifact:
    """A file to be shown."""

    holder: Principal
    """Who the preview was made for, as far as it goes."""
    job: Job
    artifact: Artifact


class Previews:
    """Makes them, and finds what they show."""

    def __init__(
        self,
        jobs: JobService,
        keys: Callable[[], Sequence[bytes]],
        now: Callable[[], datetime],
    ) -> None:
        """`keys` are those of signed URLs: rotating them ends previews, too."""
        self._jobs = jobs
        self._grants = JobGrants(PREFIX, "preview", keys)
        self._now = now

    async def issue(self, principal: Principal, job_id: str) -> Preview:
        """One of a job that the principal may read. Raises JobNotFoundError, ForbiddenError."""
        job = await self._jobs.check_preview(principal, job_id)
        life = timedelta(minutes=PREVIEW_MINUTES)
        expires_at = self._now().replace(microsecond=0) + life
        return Preview(
            self._grants.seal(principal, job.job_id, expires_at, job.attempt), expires_at
        )

    async def artifact(self, grant: str, path: str, origin: Origin) -> PreviewedArtifact:
        """The artifact at a path; for a directory, which ends with a slash or is empty, its
        INDEX.

        Raises InvalidGrantError, GrantExpiredError, JobNotFoundError, ArtifactNotFoundError.
        """
        found = self._grants.read(grant)
        if found is None:
            raise InvalidGrantError("this preview was not made by this server, or its URL was cut")
        if found.has_expired(self._now()):
            raise GrantExpiredError(f"this preview has expired after {PREVIEW_MINUTES} minutes")
        holder = replace(found.giver, origin=origin)
        wanted = path + INDEX if path == "" or path.endswith("/") else path
        job, artifact = await self._jobs.artifact(holder, found.job_id, wanted)
        if job.attempt != found.attempt:
            raise InvalidGrantError("the job was started again since this preview was made")
        return PreviewedArtifact(holder, job, artifact)

    async def is_directory(self, grant: str, path: str, origin: Origin) -> bool:
        """Whether a path for which there is no artifact is a directory with an INDEX."""
        try:
            await self.artifact(grant, f"{path}/", origin)
        except ArtifactNotFoundError:
            return False
        return True
