"""Every setting of the server and the controller; `docs/configuration.md` documents each."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ci_common.principal import LOCAL_TENANT


class ExecutorKind(StrEnum):
    """Where commands run."""

    DOCKER = "docker"
    PROCESS = "process"


def _container_prefix(value: str) -> str:
    if value and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", value):
        raise ValueError("must start with a letter or digit and hold only letters, digits, _ . -")
    return value


class Settings(BaseSettings):
    """Read from environment variables; the field `db_path` is `CI_DB_PATH`, and so on."""

    model_config = SettingsConfigDict(env_prefix="CI_", extra="ignore", frozen=True)

    db_path: Path = Path("ci_jobs.db")
    """The SQLite database. Made when missing; an empty file is fine."""
    data_dir: Path | None = None
    """Where packages, logs and caches live; by default beside the database."""
    executor: ExecutorKind = ExecutorKind.DOCKER
    """Where commands run: `docker`, or `process` (not isolated)."""
    controller: Literal["embedded", "external"] = "embedded"
    """`external`: the server starts no controller; `python -m ci_controller` runs it."""
    image: str = "ci-runner:latest"
    """The container image of jobs that name none."""
    container_prefix: Annotated[str, AfterValidator(_container_prefix)] = ""
    """Put before the job id in container names, to tell instances apart."""
    reconcile_seconds: float = Field(default=2.0, gt=0, le=5)
    """Longest time between two looks at the world; the doorbell makes it sooner."""
    max_concurrent_jobs: int = Field(default=4, ge=1)
    """Jobs that may be initializing or running at once."""
    max_jobs_per_tenant: int | None = Field(default=None, ge=1)
    """Of those, jobs of any one tenant; unset means no bound of its own."""
    max_upload_mb: int = Field(default=100, ge=1)
    """Largest upload, in MiB."""
    max_unpacked_mb: int = Field(default=2048, ge=1)
    """Largest unpacked project, in MiB."""
    max_compression_ratio: int = Field(default=200, ge=1)
    """Largest unpacked size over zip size."""
    max_entries: int = Field(default=100_000, ge=1)
    """Most entries in an upload."""
    min_free_disk_mb: int = Field(default=512, ge=0)
    """The disk floor: with less free space in the data directory uploads are refused."""
    disk_reserve_mb: int = Field(default=16, ge=0)
    """What logs and artifacts leave of the data directory's disk to the database."""
    default_timeout_seconds: float = Field(default=3600, gt=0, le=31_536_000)
    """Wall clock of jobs that set no timeout."""
    default_memory_mb: int | None = Field(default=None, ge=16)
    """Memory limit, in MiB, of jobs that set none; unset means no limit."""
    default_cpu_percent: int | None = Field(default=None, ge=1)
    """CPU limit, in percent of one core, of jobs that set none; unset means no limit."""
    default_pids: int = Field(default=4096, ge=16)
    """Processes and threads of jobs that set no bound."""
    default_log_mb: int = Field(default=100, ge=1)
    """Size of the log, in MiB, of jobs that set none; beyond it head and tail are kept."""
    max_work_mb: int | None = Field(default=None, ge=16)
    """Disk a job's container may fill, in MiB, where the engine's storage driver can bound it."""
    max_artifacts_mb: int = Field(default=1024, ge=0)
    """Size of all artifacts of a job, in MiB; what is beyond is left out, and said."""
    max_artifacts: int = Field(default=10_000, ge=0)
    """Number of artifacts of a job."""
    retention_days: float | None = Field(default=None, gt=0)
    """Finished jobs older than this are deleted, with logs and artifacts; unset keeps them."""
    retention_jobs: int | None = Field(default=None, ge=0)
    """So many finished jobs are kept, the newest; unset keeps all."""
    artifact_retention_days: float | None = Field(default=None, gt=0)
    """Artifacts older than this are deleted although their job is kept."""
    max_disk_mb: int | None = Field(default=None, ge=1)
    """Disk budget, in MiB, of logs and artifacts; the oldest finished jobs go first."""
    log_compress_seconds: float = Field(default=60, ge=0)
    """So long after its end a job's log is compressed."""
    setup_timeout_seconds: float = Field(default=900, gt=0)
    """Longest time the installation of a project's requirements may take."""
    cancel_grace_seconds: float = Field(default=10, ge=0, le=3600)
    """Time between SIGTERM and SIGKILL when a job is stopped."""
    deps_cache_mb: int = Field(default=10_240, ge=0)
    """Disk budget, in MiB, of the installed-requirements cache; the least recently used goes."""
    send_timeout_seconds: float = Field(default=60, gt=0)
    """A watcher that takes no byte for so long is disconnected; it can resume."""
    requests_per_second_per_user: float = Field(default=50, ge=0)
    """Requests of a user, on average; 0 means no limit."""
    requests_per_second_per_address: float = Field(default=200, ge=0)
    """Requests from an address, on average; 0 means no limit."""
    request_burst_seconds: float = Field(default=10, ge=1)
    """Requests of so many seconds may come at once, after a time of rest."""
    max_streams_per_user: int = Field(default=200, ge=0)
    """Streams and downloads of a user at once; 0 means no limit."""
    max_streams_per_address: int = Field(default=1000, ge=0)
    """Streams and downloads to an address at once; 0 means no limit."""
    max_uploads_per_user: int = Field(default=10, ge=0)
    """Uploads of a user at once; 0 means no limit."""
    max_uploads_per_address: int = Field(default=50, ge=0)
    """Uploads from an address at once; 0 means no limit."""
    failed_logins_per_minute: float = Field(default=10, ge=0)
    """Credentials from an address that may turn out not to be valid; 0 means no limit."""
    limit_local: bool = False
    """Apply these limits to loopback addresses and the single local user, too."""
    max_live_jobs_per_user: int | None = Field(default=None, ge=1)
    """Queued and running jobs of a user; unset means no limit."""
    max_live_jobs_per_tenant: int | None = Field(default=None, ge=1)
    """Queued and running jobs of a tenant; unset means no limit."""
    max_stored_mb_per_tenant: int | None = Field(default=None, ge=1)
    """Packages, logs and artifacts of a tenant, in MiB; unset means no limit."""
    operator_tenant: str = LOCAL_TENANT
    """Admins of this tenant reach the jobs of all tenants."""
    insecure: bool = False
    """Serve other machines although no identities are set up: everybody may do everything."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much the server tells on stderr."""

    @property
    def data_path(self) -> Path:
        """The data directory in force."""
        return self.data_dir or self.db_path.with_name(self.db_path.name + ".data")
