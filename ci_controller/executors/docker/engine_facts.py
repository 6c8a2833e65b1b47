"""What the engine is, asked once."""

from typing import Any

import docker
from docker.errors import APIError

from ci_common.errors import EngineFailingError, LaunchFailedError
from ci_controller.executors.docker.error_kinds import explanation
from ci_controller.executors.docker.keeper import protocol


class EngineFacts:
    """Facts of one engine that do not change while it is used."""

    def __init__(self) -> None:
        self._about: dict[str, Any] | None = None
        self._info: dict[str, Any] | None = None
        self._program: bytes | None = None

    def is_podman(self, client: docker.APIClient) -> bool:
        """Podman takes an attach to a container that has just exited for a new start of it, and
        forgets its exit code.
        """
        components = self._version(client).get("Components") or []
        return any("podman" in str(one.get("Name", "")).lower() for one in components)

    def name(self, client: docker.APIClient) -> str:
        """Which engine it is, with its version, for people."""
        kind = "Podman" if self.is_podman(client) else "Docker"
        return f"{kind} {self._version(client).get('Version', '')}".rstrip()

    def init_program(self, client: docker.APIClient) -> bytes:
        """The init process for the engine's processor. Raises LaunchFailedError."""
        if self._program is None:
            processor = str(self._version(client)["Arch"])
            self._program = protocol.binary(processor)
            if self._program is None:
                raise LaunchFailedError(
                    f"the container engine runs on {processor!r}, for which there is no init "
                    "process; jobs run on amd64 and arm64"
                )
        return self._program

    def info(self, client: docker.APIClient) -> dict[str, Any]:
        """What `docker info` says. Raises EngineFailingError when the engine refuses that."""
        if self._info is None:
            try:
                self._info = client.info()
            except APIError as error:
                raise EngineFailingError(
                    f"the container engine did not respond to `docker info`: {explanation(error)}"
                ) from error
        return self._info

    def _version(self, client: docker.APIClient) -> dict[str, Any]:
        if self._about is None:
            self._about = client.version()
        return self._about
