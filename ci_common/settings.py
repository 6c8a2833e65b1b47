"""Every setting of the server and the controller; `docs/configuration.md` documents each."""

import ipaddress
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ci_common.errors import SettingsError
from ci_common.principal import LOCAL_TENANT, Role
from ci_common.secret import decoded_key

IAP_JWKS_URL = "https://www.gstatic.com/iap/verify/public_key-jwk"
"""Where Google publishes the keys of its identity-aware proxy."""

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")


JOB_NETWORK = "ci-runner"
"""The bridge that jobs are on unless the operator names another."""


class ExecutorKind(StrEnum):
    """Where commands run."""

    DOCKER = "docker"
    PROCESS = "process"


def _network_name(value: str | None) -> str | None:
    if value is None:
        return None
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", value) or value in (
        "host",
        "none",
        "default",
    ):
        raise ValueError("must be the name of a bridge network; 'host' would isolate nothing")
    return value


def _secret_keys(value: SecretStr | None) -> SecretStr | None:
    if value and value.get_secret_value():
        for key in value.get_secret_value().split(","):
            decoded_key(key)
    return value


def _container_prefix(value: str) -> str:
    if value and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", value):
        raise ValueError("must start with a letter or digit and hold only letters, digits, _ . -")
    return value


def _key_set_url(value: str | None) -> str | None:
    """https; and http on the loopback interface, where nobody else can answer or listen."""
    if value is None:
        return None
    url = urlsplit(value)
    if not url.hostname or url.scheme not in ("http", "https"):
        raise ValueError("must be a URL like https://issuer.example/.well-known/jwks.json")
    if url.scheme == "http" and not _is_loopback(url.hostname):
        raise ValueError("must be an https URL: whoever can change the keys can be anybody here")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _networks(value: str) -> str:
    """Addresses and networks, comma-separated, and the word `unix`."""
    for entry in filter(None, map(str.strip, value.split(","))):
        try:
            if entry != "unix":
                ipaddress.ip_network(entry)
        except ValueError as error:
            raise ValueError(
                f"{entry!r} is neither an address nor a network ({error}); "
                "write for example 10.0.0.7, 10.1.0.0/16"
            ) from None
    return value


def _origins(value: str) -> str:
    origins = [origin.strip() for origin in value.split(",") if origin.strip()]
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin!r} is not an origin: scheme and host in lower case, and a port that is "
                "not the scheme's own, such as https://ci.example.com; '*' is not allowed"
            )
    return ",".join(origins)


class Settings(BaseSettings):
    """Read from environment variables; the field `db_path` is `CI_DB_PATH`, and so on."""

    model_config = SettingsConfigDict(
        env_prefix="CI_", extra="ignore", frozen=True, allow_inf_nan=False
    )

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
    docker_network: Annotated[str | None, AfterValidator(_network_name)] = None
    """The bridge that jobs are on, made when missing so that they cannot reach each other;
    `bridge` is the engine's own, on which they can. Unset: `ci-runner`, and for the jobs of a
    server without identities the engine's own.
    """
    docker_runtime: str | None = Field(default=None, min_length=1)
    """The engine's runtime that jobs are run with, such as `runsc`; unset is its default."""
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
    max_timeout_seconds: float | None = Field(default=None, gt=0)
    """The longest wall clock a job may ask for; unset means a year."""
    max_memory_mb: int | None = Field(default=None, ge=16)
    """The most memory, in MiB, a job may ask for, and has that asks for none; unset: no bound."""
    max_cpu_percent: int | None = Field(default=None, ge=1)
    """The same of CPU, in percent of one core."""
    max_pids: int | None = Field(default=None, ge=16)
    """The most processes and threads a job may ask for; unset means no bound."""
    max_priority: int = Field(default=10, ge=0, le=10)
    """The highest priority a job may ask for whose user is no admin; 10 means no bound."""
    max_work_mb: int | None = Field(default=None, ge=16)
    """Disk a job's container may fill, in MiB, where the engine's storage driver can bound it."""
    max_artifacts_mb: int = Field(default=1024, ge=0)
    """Size of all artifacts of a job, in MiB; what is beyond is left out, and said."""
    max_artifacts: int = Field(default=10_000, ge=0)
    """Number of artifacts of a job."""
    max_collections: int = Field(default=4, ge=1)
    """Jobs whose artifacts are collected at once, half of them of one tenant; they hold no slot."""
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
    secret_key: Annotated[SecretStr | None, AfterValidator(_secret_keys)] = None
    """Keys that encrypt secrets, separated by commas; unset means a file of the data directory."""
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
    request_timeout_seconds: float = Field(default=30, gt=0)
    """Time for a request's head; and over so long a body has to come at 1 KiB/s or more."""
    max_connections: int = Field(default=8192, ge=16)
    """Connections a server process takes at once (`python -m ci_server` only)."""
    max_connections_per_address: int = Field(default=512, ge=1)
    """Of those, connections of any one address but this machine's own."""
    cors_origins: Annotated[str, AfterValidator(_origins)] = ""
    """Origins whose web pages may use the server, separated by commas."""
    operator_tenant: str = LOCAL_TENANT
    """Admins of this tenant reach the jobs of all tenants."""
    audit_days: float | None = Field(default=None, ge=2)
    """Entries of the audit log older than this are deleted; unset keeps them for ever."""
    insecure: bool = False
    """Serve other machines although no identities are set up: everybody may do everything."""
    environment: Literal["production", "development"] = "production"
    """`development`: requests of this machine that prove nothing are dev@example.com."""
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = ""
    """Addresses and networks of proxies whose word about addresses and users is taken."""
    jwt_jwks_url: Annotated[str | None, AfterValidator(_key_set_url)] = None
    """Where the issuer of JWTs publishes its keys; unset means that JWTs are not accepted."""
    jwt_issuer: str | None = Field(default=None, min_length=1)
    """The `iss` that JWTs must have."""
    jwt_audience: str | None = Field(default=None, min_length=1)
    """The `aud` that JWTs must have, or have among others."""
    jwt_default_role: Role = Role.SUBMITTER
    """The role of JWTs that name none."""
    iap_audience: str | None = Field(default=None, min_length=1)
    """The `aud` of signed assertions of Google's identity-aware proxy; unset: none is accepted."""
    iap_jwks_url: Annotated[str, AfterValidator(_key_set_url)] = IAP_JWKS_URL
    """Where the keys of these assertions are."""
    iap_header: bool | None = None
    """Take the plain e-mail header of trusted proxies; unset: unless assertions are asked for."""
    iap_tenant: str = Field(default=LOCAL_TENANT, min_length=1)
    """The tenant of users that come through the identity-aware proxy."""
    iap_role: Role = Role.SUBMITTER
    """Their role."""
    stream_token_seconds: int = Field(default=60, ge=1, le=3600)
    """Life of the tokens that let browsers watch one job."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much the server tells on stderr."""

    @model_validator(mode="after")
    def _jwt_is_whole(self) -> Self:
        wanted = {
            "CI_JWT_JWKS_URL": self.jwt_jwks_url,
            "CI_JWT_ISSUER": self.jwt_issuer,
            "CI_JWT_AUDIENCE": self.jwt_audience,
        }
        missing = [name for name, value in wanted.items() if value is None]
        if missing and len(missing) < len(wanted):
            raise ValueError(
                f"JWTs need {', '.join(wanted)}; {' and '.join(missing)} missing. Without them a "
                "token that was made for somebody else would be accepted here"
            )
        return self

    @property
    def secret_keys(self) -> str | None:
        """The value of `secret_key`."""
        return self.secret_key.get_secret_value() if self.secret_key else None

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """`cors_origins`, one by one."""
        return tuple(self.cors_origins.split(",")) if self.cors_origins else ()

    @property
    def data_path(self) -> Path:
        """The data directory in force."""
        return self.data_dir or self.db_path.with_name(self.db_path.name + ".data")


def load_settings() -> Settings:
    """The settings of the environment. Raises SettingsError, which names each wrong variable."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [_told(problem["loc"], problem["msg"]) for problem in error.errors()]
        raise SettingsError("; ".join(problems)) from None


def _told(place: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"CI_{'_'.join(map(str, place)).upper()}: {message}" if place else message
