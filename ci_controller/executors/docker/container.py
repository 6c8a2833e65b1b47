"""How a container is made: its name, labels, limits and user; and how it is read back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import docker
import requests
from docker.errors import APIError
from docker.types import LogConfig, Mount

from ci_common.job import Network, ResourceLimits
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.project_tar import HOME, SECRETS, WORKSPACE

LABEL_INSTANCE = "ci-runner.instance"
LABEL_JOB = "ci-runner.job"
LABEL_ROLE = "ci-runner.role"
LABEL_LOG_BASE = "ci-runner.log-base"
LABEL_ATTEMPT = "ci-runner.attempt"
LABEL_EPOCH = "ci-runner.epoch"
LABEL_KEY = "ci-runner.output-key"
"""Marks the frames of the container's output; containers of the version before have none."""

ROLE_JOB = "job"
ROLE_SETUP = "setup"
ROLE_PROBE = "probe"

_COMMAND = ["/bin/sh", "-c", 'exec "$@"', "sh"]
"""The shell finds the command, and says in well-known words when there is none."""

_EXPORT_SECRETS = (
    'for _ci_name in {names}; do _ci_value=$(cat "{directory}/$_ci_name" && echo x) || exit 126; '
    'export "$_ci_name=${{_ci_value%x}}"; done; '
)
"""Values become variables in the container only: what it is made of names them, no more. The
shell takes line ends off, so there is something after them that is taken off instead."""

_ENVIRONMENT = {"HOME": f"/{HOME}", "USER": "ci", "LOGNAME": "ci"}
"""Not every image has a name for the user's number, and `getpass.getuser()` is to work in all."""

LOOPBACK_IPV6 = {"net.ipv6.conf.lo.disable_ipv6": "0"}
"""`localhost` is `::1`, too, in the `/etc/hosts` that engines write, so it is to be one."""

_LOOPBACK = "127.0.0.1"

_OWN_VOLUME = Mount(f"/{protocol.DIRECTORY}", None, type="volume", no_copy=True)
_SECRETS_VOLUME = Mount(f"/{SECRETS}", None, type="volume", no_copy=True)

_CPU_PERIOD_MICROSECONDS = 100_000

_SHORTEST_GRACE_SECONDS = 0.1
"""An answer of the engine takes about as long."""

_KILL_SECONDS = 10.0
"""For so long an init process that was told to kill its command may take to end."""

_STATES = {
    "created": WorkloadState.CREATED,
    "exited": WorkloadState.EXITED,
    "dead": WorkloadState.EXITED,
}


@dataclass(frozen=True, slots=True)
class Isolation:
    """What keeps containers from each other, and from the machine."""

    network: str = "bridge"
    """Of containers that have one."""
    runtime: str | None = None
    """What runs them; `None` is the engine's default."""


@dataclass(frozen=True, slots=True)
class EngineBounds:
    """Bounds that depend on how the engine stores containers."""

    block_device: str | None = None
    """The disk that containers are on; needed where a job bounds its block I/O."""
    work_mb: int | None = None
    """What a container may write to its file system, in MiB."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to be made."""

    image: str
    name: str
    command: Sequence[str]
    labels: Mapping[str, str]
    limits: ResourceLimits
    isolation: Isolation
    bounds: EngineBounds
    env: Mapping[str, str] = field(default_factory=dict)
    secret_variables: Sequence[str] = ()
    """The names of the secrets that are variables, too."""
    loopback_ipv6: bool = False
    """Whether `::1` is an address there. Not every engine, nor every kernel, has it."""
    becomes_image: bool = False
    """Then its init process is on a volume, which is no part of the image, and goes with the
    container.
    """
    has_secrets_volume: bool = False
    """Whether its secrets are on such a volume, too."""


def create(client: docker.APIClient, spec: ContainerSpec) -> str:
    """Create a container that may do as little as possible; returns its id.

    It is started by our own init process, which must be put into it before
    (`project_tar.keeper_blocks`): as root, to become the command's user, which has no capability.
    """
    container = client.create_container(
        spec.image,
        entrypoint=_entrypoint(spec.secret_variables),
        command=list(spec.command),
        name=spec.name,
        user="0:0",
        hostname=_own_host_name(spec),
        working_dir=f"/{WORKSPACE}",
        environment={**_ENVIRONMENT, **spec.env},
        labels=dict(spec.labels),
        stop_signal="SIGTERM",
        healthcheck={"test": ["NONE"]},
        host_config=_host_config(client, spec),
    )
    return str(container["Id"])


def _host_config(client: docker.APIClient, spec: ContainerSpec) -> dict[str, Any]:
    limits, isolation = spec.limits, spec.isolation
    config: dict[str, Any] = client.create_host_config(
        init=False,
        cap_drop=["ALL"],
        cap_add=list(protocol.CAPABILITIES),
        security_opt=["no-new-privileges:true"],
        network_mode="none" if limits.network is Network.NONE else isolation.network,
        extra_hosts={name: _LOOPBACK} if (name := _own_host_name(spec)) else None,
        sysctls=LOOPBACK_IPV6 if spec.loopback_ipv6 else None,
        runtime=isolation.runtime,
        pids_limit=limits.pids,
        log_config=LogConfig(type="none"),
        mounts=_mounts(spec) or None,
        **_bounds(limits, spec.bounds, spec.becomes_image),
    )
    return config


def _mounts(spec: ContainerSpec) -> list[Mount]:
    return [
        *([_OWN_VOLUME] if spec.becomes_image else []),
        *([_SECRETS_VOLUME] if spec.has_secrets_volume else []),
    ]


def _own_host_name(spec: ContainerSpec) -> str | None:
    """Of a container without network, in whose `/etc/hosts` the engine writes no name; it gives the
    others one that resolves.
    """
    return "job" if spec.limits.network is Network.NONE else None


def _entrypoint(secret_variables: Sequence[str]) -> list[str]:
    shell, option, script, *rest = _COMMAND
    if secret_variables:
        names = " ".join(secret_variables)  # checked: nothing in them means anything to a shell
        script = _EXPORT_SECRETS.format(names=names, directory=f"/{SECRETS}") + script
    return [protocol.PROGRAM, shell, option, script, *rest]


def _bounds(
    limits: ResourceLimits, engine: EngineBounds, is_spool_elsewhere: bool
) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    if limits.memory_mb is not None:
        bounds["mem_limit"] = bounds["memswap_limit"] = limits.memory_mb << 20
    if limits.cpu_percent is not None:
        # Not nano_cpus, of which the engine refuses more than the machine has.
        bounds["cpu_period"] = _CPU_PERIOD_MICROSECONDS
        bounds["cpu_quota"] = limits.cpu_percent * _CPU_PERIOD_MICROSECONDS // 100
    if limits.shm_mb is not None:
        bounds["shm_size"] = limits.shm_mb << 20
    if limits.block_io_bytes is not None:
        rate = [{"Path": engine.block_device, "Rate": limits.block_io_bytes}]
        bounds["device_read_bps"] = bounds["device_write_bps"] = rate
    if engine.work_mb is not None:
        spool_mb = 0 if is_spool_elsewhere else protocol.SPOOL_BYTES >> 20
        bounds["storage_opt"] = {"size": f"{engine.work_mb + spool_mb}m"}
    return bounds


def stop(client: docker.APIClient, container: str, grace_seconds: float) -> None:
    """Stop a container that has our init process, and return when it has ended. Raises NotFound.

    Its init process kills the command when its time is up, and ends by itself, with all that was
    written: the engine's own way would kill it together with the command.
    """
    for signal, seconds in (("SIGTERM", grace_seconds), (protocol.KILL_SIGNAL, _KILL_SECONDS)):
        try:
            client.kill(container, signal)
        except APIError:
            # Docker says 409 of one that does not run, and Podman 500.
            if client.inspect_container(container)["State"]["Running"]:
                raise
            break
        if _has_ended(client, container, seconds):
            return
    client.stop(container, timeout=1)


def _has_ended(client: docker.APIClient, container: str, seconds: float) -> bool:
    try:
        timeout = max(seconds, _SHORTEST_GRACE_SECONDS)
        client.wait(container, timeout=timeout)  # type: ignore[arg-type] # requests takes fractions
    except requests.RequestException as error:
        if isinstance(error, requests.ReadTimeout) or "Read timed out" in str(error):
            return False
        raise
    return True


def from_list(entry: dict[str, Any]) -> Workload:
    """A workload of an entry of the engine's list of containers."""
    labels = entry["Labels"]
    return Workload(
        job_id=labels[LABEL_JOB],
        state=_STATES.get(entry["State"], WorkloadState.RUNNING),
        log_base=int(labels[LABEL_LOG_BASE]),
        attempt=_attempt(labels),
        epoch=epoch_of(labels),
    )


def from_inspect(facts: dict[str, Any]) -> Workload:
    """A workload of the engine's full description of a container."""
    labels, state = facts["Config"]["Labels"], facts["State"]
    exited = _STATES.get(state["Status"]) is WorkloadState.EXITED
    return Workload(
        job_id=labels[LABEL_JOB],
        state=_STATES.get(state["Status"], WorkloadState.RUNNING),
        log_base=int(labels[LABEL_LOG_BASE]),
        attempt=_attempt(labels),
        epoch=epoch_of(labels),
        exit_code=state["ExitCode"] if exited else None,
        oom_killed=bool(state["OOMKilled"]),
        started_at=_time(state["StartedAt"]),
        finished_at=_time(state["FinishedAt"]),
    )


def _attempt(labels: dict[str, str]) -> int:
    # The first version had no retries, and no such label.
    return int(labels.get(LABEL_ATTEMPT, 1))


def key_of(labels: dict[str, str]) -> bytes | None:
    """Of the frames of a container's output; `None` in the version before."""
    key = labels.get(LABEL_KEY)
    return None if key is None else bytes.fromhex(key)


def epoch_of(labels: dict[str, str]) -> int:
    """Of the controller lease that something was made under; 0 in the first version."""
    return int(labels.get(LABEL_EPOCH, 0))


def _time(text: str) -> datetime | None:
    if text.startswith("0001-"):
        return None  # the engine's word for never
    # Nanoseconds are more than datetime can read.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
