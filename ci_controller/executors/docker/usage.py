"""What a container uses, from the engine's own numbers."""

from collections.abc import Mapping
from typing import Any

import docker
from docker.utils import version_lt

from ci_common.resources import ResourceUsage

_ONE_SHOT_SINCE = "1.41"
"""The API without it takes a second for each container: it waits for a second sample."""

_CACHED = ("inactive_file", "total_inactive_file")
"""Files that the kernel only keeps until it needs the memory; in the two versions of cgroups."""


def container_usage(client: docker.APIClient, container: str) -> ResourceUsage | None:
    """Of a running container; `None` for one that is not. Raises NotFound."""
    if version_lt(client.api_version, _ONE_SHOT_SINCE):
        return None
    told: dict[str, Any] = client.stats(container, stream=False, one_shot=True)
    memory = told.get("memory_stats") or {}
    cpu = (told.get("cpu_stats") or {}).get("cpu_usage") or {}
    if not memory.get("usage"):
        return None
    return ResourceUsage(cpu.get("total_usage", 0) / 1e9, _without_cache(memory))


def _without_cache(memory: Mapping[str, Any]) -> int:
    details = memory.get("stats") or {}
    cached = next((details[name] for name in _CACHED if details.get(name)), 0)
    return max(int(memory["usage"]) - int(cached), 0)
