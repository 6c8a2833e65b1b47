"""How the engine stores containers, as far as limits need to know."""

import logging
import os
from pathlib import Path
from typing import Any

import docker

from ci_common.errors import LaunchFailedError
from ci_common.job import ResourceLimits
from ci_controller.executors.docker.container import EngineBounds
from ci_controller.executors.docker.engine import DockerEngine

logger = logging.getLogger(__name__)


class EngineStorage:
    """Asks the engine once what it can bound."""

    def __init__(self, engine: DockerEngine, work_mb: int | None) -> None:
        self._engine = engine
        self._work_mb = work_mb
        self._facts: dict[str, Any] | None = None

    async def bounds(self, limits: ResourceLimits) -> EngineBounds:
        """The bounds for a container. Raises LaunchFailedError when the job asks for one that
        this engine cannot keep.
        """
        if self._work_mb is None and limits.block_io_bytes is None:
            return EngineBounds()
        facts = await self._ask()
        device = None
        if limits.block_io_bytes is not None:
            device = whole_disk(Path(facts["DockerRootDir"]))
            if device is None:
                raise LaunchFailedError(
                    "the job bounds its block I/O, but the disk of the container engine "
                    f"({facts['DockerRootDir']}) cannot be found on this machine; leave "
                    "`block_io` out of the job's table"
                )
        return EngineBounds(device, self._work_mb if can_bound_size(facts) else None)

    async def _ask(self) -> dict[str, Any]:
        if self._facts is None:

            def info(client: docker.APIClient) -> dict[str, Any]:
                found: dict[str, Any] = client.info()
                return found

            self._facts = await self._engine.call(info)
            if self._work_mb is not None and not can_bound_size(self._facts):
                logger.warning(
                    "CI_MAX_WORK_MB is not enforced: the engine's storage (%s) cannot bound the "
                    "size of a container; overlay2 on xfs with pquota, btrfs and zfs can",
                    self._facts["Driver"],
                )
        return self._facts


def can_bound_size(facts: dict[str, Any]) -> bool:
    """Whether `--storage-opt size` works: see dockerd's documentation of storage drivers."""
    if facts["Driver"] in ("btrfs", "zfs", "devicemapper", "windowsfilter"):
        return True
    if facts["Driver"] != "overlay2" or ["Backing Filesystem", "xfs"] not in facts["DriverStatus"]:
        return False
    mount = _mount_of(Path(facts["DockerRootDir"]))
    return mount is not None and bool({"pquota", "prjquota"} & set(mount[2].split(",")))


def whole_disk(path: Path) -> str | None:
    """The disk device a directory is on: throttling works on disks, not on their partitions."""
    try:
        number = path.stat().st_dev
        device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve(strict=True)
    except OSError:
        return None
    if (device / "partition").exists():
        device = device.parent
    return f"/dev/{device.name}"


def _mount_of(path: Path) -> tuple[str, str, str] | None:
    """Mount point, type and options of the mount a path is on; see proc(5), /proc/mounts."""
    best: tuple[str, str, str] | None = None
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split(" ")
        if path.is_relative_to(point) and (best is None or len(point) >= len(best[0])):
            best = (point, kind, options)
    return best
