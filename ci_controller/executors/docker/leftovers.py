"""What a crash can leave on the engine besides workloads, which the controller removes itself."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import docker
from docker.errors import NotFound

from ci_controller.executors.docker.container import (
    LABEL_INSTANCE,
    LABEL_ROLE,
    ROLE_PROBE,
    ROLE_SETUP,
    epoch_of,
)
from ci_controller.executors.docker.engine import DockerEngine, remove_container


@dataclass(frozen=True, slots=True)
class Leftover:
    """A container or an image that nothing refers to."""

    id: str
    name: str
    """For people."""
    is_image: bool


class DockerLeftovers:
    """Finds and removes what is left of one instance, and touches no other."""

    def __init__(self, instance_id: str) -> None:
        self._engine = DockerEngine()
        self._label = f"{LABEL_INSTANCE}={instance_id}"

    async def find(self, older_than_seconds: float) -> list[Leftover]:
        """Containers that installed requirements, or tried the engine, for somebody who is gone,
        and images without a name. Raises EngineUnavailableError.
        """
        limit = time.time() - older_than_seconds

        def look(client: docker.APIClient) -> list[Leftover]:
            labelled = [[self._label, f"{LABEL_ROLE}={role}"] for role in (ROLE_SETUP, ROLE_PROBE)]
            containers = [
                entry
                for labels in labelled
                for entry in client.containers(all=True, filters={"label": labels})
            ]
            images = client.images(filters={"label": self._label, "dangling": True})
            return [
                Leftover(entry["Id"], entry["Names"][0].removeprefix("/"), is_image=False)
                for entry in containers
                if entry["Created"] <= limit
            ] + [
                Leftover(entry["Id"], entry["Id"].removeprefix("sha256:")[:12], is_image=True)
                for entry in images
                if entry["Created"] <= limit
            ]

        return await self._engine.call(look)

    async def remove(self, leftover: Leftover) -> None:
        """Remove one; safe to repeat. Raises EngineUnavailableError."""

        def drop(client: docker.APIClient) -> None:
            if not leftover.is_image:
                remove_container(client, leftover.id)
                return
            try:
                client.remove_image(leftover.id)
            except NotFound:
                return

        await self._engine.call(drop)

    async def close(self) -> None:
        """Free the connection."""
        self._engine.close()


def remove_abandoned(
    client: docker.APIClient, labels: Mapping[str, str], ours: Collection[str], epoch: int
) -> None:
    """Remove containers with these labels of a controller that was killed: none of `ours`, nor of
    a later epoch, which belong to whoever took over while this one was paused.
    """
    filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
    for entry in client.containers(all=True, filters=filters):
        names = {name.lstrip("/") for name in entry["Names"]}
        if not names.intersection(ours) and epoch_of(entry["Labels"]) <= epoch:
            remove_container(client, entry["Id"])
