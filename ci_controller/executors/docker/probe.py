"""A container of our own that does nothing: whether the engine starts any."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import docker
from docker.errors import APIError, ImageNotFound

from ci_common.errors import EngineDisturbedError, LaunchFailedError
from ci_common.job import ResourceLimits
from ci_controller.executors.docker import container
from ci_controller.executors.docker.engine import remove_container
from ci_controller.executors.docker.engine_facts import EngineFacts
from ci_controller.executors.docker.error_kinds import explanation, remedy
from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.leftovers import remove_abandoned
from ci_controller.executors.docker.network import ENGINES_OWN
from ci_controller.executors.docker.project_tar import USER_ID, files_tar, keeper_blocks


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What probes have in common with jobs."""

    instance_id: str
    container_prefix: str
    image: str
    runtime: str | None


class EngineProbe:
    """Made like a job's container, with nothing in it that a job could choose."""

    def __init__(self, options: ProbeOptions, facts: EngineFacts) -> None:
        self._options = options
        self._facts = facts
        self._under_way: set[str] = set()
        self._proven: str | None = None
        """An image that a container was started from: where the instance's own is missing."""

    def note_started(self, image: str) -> None:
        """A container was started from this base image."""
        self._proven = image

    @contextlib.contextmanager
    def judging(self) -> Iterator[None]:
        """What the engine refuses here is no job's fault: raise EngineDisturbedError, or, when it
        is for a setting of the operator, LaunchFailedError.
        """
        try:
            yield
        except APIError as error:
            if told := remedy(error, self._options.runtime):
                raise LaunchFailedError(told) from error
            raise EngineDisturbedError(
                "the container engine responds but cannot start any container, not even one of "
                f"the server's own image: {explanation(error)}. Jobs wait until it can"
            ) from error

    def start(
        self, client: docker.APIClient, network: str, bounds: container.EngineBounds, epoch: int
    ) -> None:
        """Start a container on this network (`none` is none), and remove it. Raises APIError.

        Does nothing, as nothing can be learned, where there is no image that surely starts.
        """
        if (image := self._image(client)) is None:
            return
        name = f"{self._options.container_prefix}probe-{uuid.uuid4().hex}"
        self._under_way.add(name)
        try:
            self._create(client, name, image, network, bounds, epoch)
            init = keeper_blocks(
                self._facts.init_program(client),
                protocol.config(os.urandom(protocol.KEY_BYTES), 1, USER_ID),
            )
            client.put_archive(name, "/", files_tar({}, init))
            client.start(name)
        finally:
            with contextlib.suppress(APIError):  # `tidy` removes it later
                remove_container(client, name)
            self._under_way.discard(name)

    def tidy(self, client: docker.APIClient, epoch: int) -> None:
        """Remove the probes of a controller that was killed."""
        labels = {
            container.LABEL_INSTANCE: self._options.instance_id,
            container.LABEL_ROLE: container.ROLE_PROBE,
        }
        remove_abandoned(client, labels, self._under_way, epoch)

    def _image(self, client: docker.APIClient) -> str | None:
        """Not the job's own, which may be broken, and others' not."""
        for name in (self._options.image, self._proven):
            if name is not None:
                try:
                    return str(client.inspect_image(name)["Id"])
                except ImageNotFound:
                    continue
        return None

    def _create(
        self,
        client: docker.APIClient,
        name: str,
        image: str,
        network: str,
        bounds: container.EngineBounds,
        epoch: int,
    ) -> None:
        spec = container.ContainerSpec(
            image=image,
            name=name,
            command=["true"],
            labels={
                container.LABEL_INSTANCE: self._options.instance_id,
                container.LABEL_ROLE: container.ROLE_PROBE,
                container.LABEL_EPOCH: str(epoch),
            },
            limits=ResourceLimits(),
            isolation=container.Isolation(network, self._options.runtime),
            bounds=bounds,
        )
        container.create(client, spec)


def networks_of(job_network: str, setup_network: str, client: docker.APIClient) -> list[str]:
    """Where a launch may have failed: the job's network, and that of its requirements if it has
    been made.
    """
    is_there = setup_network != ENGINES_OWN and client.networks(names=[setup_network])
    return list(dict.fromkeys([job_network, *([setup_network] if is_there else [])]))
