"""Makes the door of what the application has. It imports grpc: see `library.prepare`."""

from pathlib import Path

from ci_common.errors import SettingsError
from ci_common.settings import Settings
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.certificates import CertificateIdentity
from ci_server.access.limits.configured import failure_limits
from ci_server.access.limits.failed_logins import ThrottledAuthenticator
from ci_server.grpc.certificates import CertificateFiles
from ci_server.grpc.door import WorkerDoor
from ci_server.grpc.revocations import Revocations
from ci_server.grpc.service import WorkerServices
from ci_server.grpc.turn import Turn
from ci_server.http.guards import AccessControl
from ci_server.services.intake import Intake
from ci_server.services.jobs import JobService
from ci_server.services.readiness import Readiness
from ci_server.streams.log_stream import LogStreams
from ci_server.telemetry.metrics import ServerMetrics

_LOCK = "job-worker.lock"


def open_door(
    settings: Settings,
    directory: Path,
    access: AccessControl,
    intake: Intake,
    jobs: JobService,
    streams: LogStreams,
    readiness: Readiness,
    metrics: ServerMetrics,
) -> WorkerDoor:
    """The door whose certificates are in this directory. Raises SettingsError.

    It shares policy, audit log and rate limits with the HTTP doors, and has one kind of identity.
    """
    revocations = Revocations(_revoked(settings, directory))
    revocations.refresh()
    identity = CertificateIdentity(revocations.is_revoked)
    authenticator = ThrottledAuthenticator(
        Authenticator([identity], fallback=identity), failure_limits(settings)
    )
    own = AccessControl(authenticator, access.policy, access.audit, access.traffic)
    return WorkerDoor(
        settings.grpc_address,
        CertificateFiles(directory),
        revocations,
        own,
        WorkerServices(intake, jobs, streams),
        readiness,
        Turn(settings.data_path / _LOCK),
        metrics,
    )


def _revoked(settings: Settings, directory: Path) -> Path:
    """The list of revoked certificates. Only the one that nobody has named may be missing."""
    path = settings.grpc_revoked
    if path is None:
        return directory / "revoked.txt"
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsError(
            f"CI_GRPC_REVOKED: {path} cannot be read: {error.strerror}; if no certificate is "
            "revoked, create an empty file"
        ) from error
    return path
