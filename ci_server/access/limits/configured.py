"""The limits that the settings ask for."""

from ci_common.ports.usage import Quotas
from ci_common.settings import TrafficSettings
from ci_server.access.limits.failed_logins import FailureLimits
from ci_server.access.limits.traffic import TrafficLimits


def quotas(settings: TrafficSettings) -> Quotas:
    """Bounds on what is there."""
    megabytes = settings.max_stored_mb_per_tenant
    return Quotas(
        live_jobs_per_tenant=settings.max_live_jobs_per_tenant,
        live_jobs_per_user=settings.max_live_jobs_per_user,
        stored_bytes_per_tenant=None if megabytes is None else megabytes << 20,
    )


def traffic_limits(settings: TrafficSettings) -> TrafficLimits:
    """Bounds on what happens at once and per second."""
    return TrafficLimits(
        requests_per_second_per_user=settings.requests_per_second_per_user,
        requests_per_second_per_address=settings.requests_per_second_per_address,
        burst_seconds=settings.request_burst_seconds,
        streams_per_user=settings.max_streams_per_user,
        streams_per_address=settings.max_streams_per_address,
        uploads_per_user=settings.max_uploads_per_user,
        uploads_per_address=settings.max_uploads_per_address,
        limit_local=settings.limit_local,
    )


def failure_limits(settings: TrafficSettings) -> FailureLimits:
    """Bounds on credentials that are not valid."""
    return FailureLimits(settings.failed_logins_per_minute, settings.limit_local)
