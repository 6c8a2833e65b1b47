"""How the engine stores containers, as far as limits need to know."""

import contextlib
import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from ci_common.errors import LaunchFailedError
from ci_common.job import ResourceLimits
from ci_common.ports.unenforced_limits import Limit, Unenforced
from ci_controller.executors.docker.container import EngineBounds
from ci_controller.executors.docker.engine import DockerEngine, remove_container
from ci_controller.executors.docker.engine_facts import EngineFacts
from ci_controller.executors.docker.error_kinds import explanation

logger = logging.getLogger(__name__)

_ADVICE = "overlay2 on XFS mounted with pquota, btrfs and zfs support it; see docs/engines.md"

_MAY_BOUND = frozenset({"btrfs", "zfs", "devicemapper", "windowsfilter"})
_MAY_BOUND_ON_XFS = frozenset({"overlay2", "overlay"})
"""The second is what Podman calls it."""

_NO_SIZES = ("storage-opt", "storage option", "quota")
"""In what engines say when their storage can bound no sizes."""


@dataclass(frozen=True, slots=True)
class WorkLimit:
    """What a container may write, and how the containers that try it out are made."""

    mb: int | None
    labels: Mapping[str, str]
    name_prefix: str = ""


class EngineStorage:
    """Finds out once what the engine can bound."""

    def __init__(self, engine: DockerEngine, facts: EngineFacts, work: WorkLimit) -> None:
        self._engine = engine
        self._facts = facts
        self._work = work
        self._why_unbounded: str | None = None
        """Empty when sizes are bounded; `None` until it is known."""

    async def bounds(self, limits: ResourceLimits, image: str) -> EngineBounds:
        """The bounds for a container of this image. Raises LaunchFailedError when the job asks for
        one that this engine cannot keep.
        """
        device = None
        if limits.block_io_bytes is not None:
            root = (await self._engine.call(self._facts.info))["DockerRootDir"]
            device = whole_disk(Path(root))
            if device is None:
                raise LaunchFailedError(
                    f"the job limits its block I/O, but the disk of the container engine ({root}) "
                    "cannot be determined on this machine; remove `block_io` from the job's "
                    "configuration"
                )
        is_bounded = await self._find_out(image) == ""
        return EngineBounds(device, self._work.mb if is_bounded else None)

    async def unenforced(self, image: str) -> Unenforced | None:
        """Why containers are not bounded in size, though they should be. It is tried with this
        image; where that is not on the engine, only what the engine says of itself counts.
        """
        why = await self._find_out(image)
        return Unenforced(Limit.WORK, why) if why else None

    async def _find_out(self, image: str) -> str | None:
        """Why sizes are not bounded; empty when they are, `None` when that is not asked for, or
        cannot be known yet.
        """
        if self._work.mb is None:
            return None
        if self._why_unbounded is None:
            self._why_unbounded = await self._engine.call(lambda client: self._ask(client, image))
            if self._why_unbounded:
                logger.warning("CI_MAX_WORK_MB is not enforced: %s", self._why_unbounded)
        return self._why_unbounded

    def _ask(self, client: docker.APIClient, image: str) -> str | None:
        if why := why_unbounded(self._facts.info(client)):
            return why
        try:
            self._try(client, image)
        except ImageNotFound:
            return None
        except APIError as error:
            said = explanation(error)
            if not any(word in said.lower() for word in _NO_SIZES):
                if not error.is_client_error():
                    raise
                raise LaunchFailedError(
                    f"the engine refuses to create a container of limited size: {said}"
                ) from error
            return f"the engine refuses to limit the size of a container ({said}); {_ADVICE}"
        return ""

    def _try(self, client: docker.APIClient, image: str) -> None:
        """Make a container of that size, and start nothing."""
        name = f"{self._work.name_prefix}probe-{uuid.uuid4().hex}"
        size = {"size": f"{self._work.mb}m"}
        try:
            client.create_container(
                image,
                ["true"],
                name=name,
                labels=dict(self._work.labels),
                host_config=client.create_host_config(network_mode="none", storage_opt=size),
            )
        finally:
            with contextlib.suppress(APIError):
                remove_container(client, name)


def why_unbounded(facts: Mapping[str, Any]) -> str:
    """Why `--storage-opt size` surely does not work, by what the engine says of itself: see
    dockerd's documentation of storage drivers. Empty where it may work, and is to be tried.
    """
    driver, status = facts["Driver"], dict(map(tuple, facts.get("DriverStatus") or []))
    backing = status.get("Backing Filesystem", "")
    if driver in _MAY_BOUND or (driver in _MAY_BOUND_ON_XFS and backing == "xfs"):
        return ""
    kind = f"{driver} on {backing}" if backing else driver
    return f"the engine's storage ({kind}) cannot bound the size of a container; {_ADVICE}"


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
