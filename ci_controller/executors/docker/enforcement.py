"""The limits that an engine does not keep, by what it says of itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from ci_common.ports.unenforced_limits import Limit, Unenforced

_CAPABILITIES = {
    Limit.MEMORY: "MemoryLimit",
    Limit.CPU: "CpuCfsQuota",
    Limit.PIDS: "PidsLimit",
}


def unenforced(
    facts: Mapping[str, Any], runtime: str | None, *, is_podman: bool
) -> Iterator[Unenforced]:
    """What the engine with these facts (`docker info`) does not keep."""
    rootless = "name=rootless" in (facts.get("SecurityOptions") or [])
    for limit, capability in _CAPABILITIES.items():
        if facts.get(capability) is False:
            why = (
                "a rootless engine needs cgroups v2 and the delegation of its controllers"
                if rootless
                else "its kernel has no such control group, or it is not mounted"
            )
            yield Unenforced(limit, f"the engine cannot bound it; {why}")
    if is_podman:
        yield Unenforced(
            Limit.ISOLATION,
            "Podman does not keep the containers of a network apart; do not let users who do not "
            "trust each other submit jobs",
        )
    if runtime is not None and is_podman:
        yield Unenforced(
            Limit.RUNTIME, "Podman ignores it; choose the runtime with Podman's own --runtime"
        )
    elif runtime is not None and runtime not in (facts.get("Runtimes") or {}):
        yield Unenforced(
            Limit.RUNTIME,
            f"the engine has no runtime {runtime!r}, so every job fails; add it to `runtimes` in "
            "the engine's daemon.json, or change the setting",
        )
