"""What a crash can leave on the engine besides workloads, which the controller removes itself."""

import time
from dataclasses import dataclass

import docker
from docker.errors import NotFound

from ci_controller.executors.docker.container import LABEL_INSTANCE, LABEL_ROLE, ROLE_SETUP
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
        """Containers that installed requirements for somebody who is gone, and images without a
        name. Raises EngineUnavailableError.
        """
        limit = time.time() - older_than_seconds

        def look(client: docker.APIClient) -> list[Leftover]:
            labels = [self._label, f"{LABEL_ROLE}={ROLE_SETUP}"]
            containers = client.containers(all=True, filters={"label": labels})
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
