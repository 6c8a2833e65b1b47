"""Rate limits and quotas of users, addresses and tenants."""

from pydantic import Field

from ci_common.settings.environment import EnvironmentSettings


class TrafficSettings(EnvironmentSettings):
    """Rate limits and quotas."""

    requests_per_second_per_user: float = Field(default=50, ge=0)
    """Requests of a user, on average; 0 means no limit."""
    requests_per_second_per_address: float = Field(default=200, ge=0)
    """Requests from an address, on average; 0 means no limit."""
    request_burst_seconds: float = Field(default=10, ge=1)
    """Burst: after a pause, the requests of this many seconds may come at once."""
    max_streams_per_user: int = Field(default=200, ge=0)
    """Streams and downloads of a user at once; 0 means no limit."""
    max_streams_per_address: int = Field(default=1000, ge=0)
    """Streams and downloads to an address at once; 0 means no limit."""
    max_uploads_per_user: int = Field(default=10, ge=0)
    """Uploads of a user at once; 0 means no limit."""
    max_uploads_per_address: int = Field(default=50, ge=0)
    """Uploads from an address at once; 0 means no limit."""
    failed_logins_per_minute: float = Field(default=10, ge=0)
    """Invalid credentials from an address; 0 means no limit."""
    limit_local: bool = False
    """Apply these limits to loopback addresses and the single local user, too."""
    max_live_jobs_per_user: int | None = Field(default=None, ge=1)
    """Queued and running jobs of a user; unset means no limit."""
    max_live_jobs_per_tenant: int | None = Field(default=None, ge=1)
    """Queued and running jobs of a tenant; unset means no limit."""
    max_stored_mb_per_tenant: int | None = Field(default=None, ge=1)
    """Packages, logs and artifacts of a tenant, in MiB; unset means no limit."""
