"""The settings of the Docker executor."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from ci_common.settings import EnvironmentSettings


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


def _container_prefix(value: str) -> str:
    if value and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", value):
        raise ValueError(
            "must start with a letter or digit and contain only letters, digits, _ . -"
        )
    return value


class DockerSettings(EnvironmentSettings):
    """Images, networks and names of containers."""

    image: str = "ci-runner:latest"
    """Default container image."""
    docker_network: Annotated[str | None, AfterValidator(_network_name)] = None
    """Bridge network of jobs, created if missing so that they cannot reach each other;
    `bridge` is the engine's own, on which they can. Unset: `ci-runner`, and for the jobs of a
    server without identities the engine's own.
    """
    docker_runtime: str | None = Field(default=None, min_length=1)
    """Container runtime for jobs, such as `runsc`; unset is the engine's default."""
    container_prefix: Annotated[str, AfterValidator(_container_prefix)] = ""
    """Prefix of container names, before the job id, to distinguish instances."""
    deps_cache_mb: int = Field(default=10_240, ge=0)
    """Disk budget, in MiB, of cached requirements; the least recently used are deleted first."""
    deps_cache_dir: Path | None = None
    """A directory that instances of one user name to share this cache; unset: it is the instance's
    own. It holds the cache's id, and when which image was last used.
    """
