"""What a server is and allows, for those who may use it."""

from dataclasses import dataclass

from ci_server.services.intake import SubmissionLimits


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """As the operator has set it."""

    limits: SubmissionLimits
    executor: str
    """How jobs run: `docker` or `process`."""
    image: str | None
    """Of jobs that name none; `None` where jobs have no image."""
    concurrent_jobs: int
    """Most jobs that are under way at once."""
    concurrent_jobs_per_tenant: int | None
    """Of those, of one tenant; `None`: no separate limit."""
    artifacts_mb: int
    """Largest size of all artifacts of a job, in MiB."""
    artifacts: int
    """Most artifacts of a job."""
