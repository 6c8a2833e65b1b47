"""Images with what a project needs installed, in layers that jobs share where they are the same."""

import asyncio
import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from typing_extensions import override

from ci_common.completion import to_completion
from ci_common.errors import ImageUnavailableError, RegistryUnavailableError, SetupFailedError
from ci_common.job import ResourceLimits
from ci_common.job_states import WRONG_IMAGE
from ci_common.launch_step import LaunchStage
from ci_common.ports.launch_request import LaunchRequest
from ci_common.ports.logs import LogAppender
from ci_common.ports.packages import PackageSource
from ci_common.ports.workloads import OnStage, untold
from ci_controller.executors.docker import container
from ci_controller.executors.docker.engine import DockerEngine, remove_container
from ci_controller.executors.docker.engine_facts import EngineFacts
from ci_controller.executors.docker.error_kinds import (
    explanation,
    is_host_unknown,
    is_registry_away,
    is_registry_fault,
)
from ci_controller.executors.docker.install_script import environment_file, install_script
from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.kept_output import KeptOutput
from ci_controller.executors.docker.leftovers import remove_abandoned
from ci_controller.executors.docker.network import JobNetwork
from ci_controller.executors.docker.output import AttachedOutput
from ci_controller.executors.docker.project_tar import (
    USER_ID,
    files_tar,
    keeper_blocks,
    put_project,
    secrets_blocks,
)
from ci_controller.executors.docker.storage import EngineStorage
from ci_controller.executors.shared.install_layers import Layer
from ci_controller.executors.shared.install_plan import InstallPlan, failure, install_plan
from ci_controller.executors.shared.interruption import Interruption
from ci_controller.executors.shared.log_pump import Storage, pump
from ci_controller.executors.shared.missing_output import lost_marker
from ci_controller.executors.shared.setup_environment import environment_key, setup_environment
from ci_controller.executors.shared.single_flight import SingleFlight, Transcript

logger = logging.getLogger(__name__)

_REPOSITORY = "ci-runner-deps"
_BUILT_HERE = {
    "ci-runner": "",
    "ci-runner:slim": " --slim",
    "ci-runner-haystack": " --haystack",
}
"""Options of scripts/runner-image, by the names of the images it builds."""


@dataclass(frozen=True, slots=True)
class RequirementImageOptions:
    """Whose images, how many, how long."""

    instance_id: str
    container_prefix: str
    cache_dir: Path
    """Holds an empty file for each image; its time is when the image was last used."""
    cache_id: str
    """Whose images: the instance's, or that of a cache which instances share."""
    budget_bytes: int
    setup_timeout_seconds: float
    runtime: str | None = None
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    """Of the installation; not the job's own, with which it might not get done."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The operator's variables of every installation."""


@dataclass(frozen=True, slots=True)
class _SetUp:
    """The installation of a layer in a container, which becomes an image."""

    name: str
    """Of the container."""
    base_id: str
    bounds: container.EngineBounds
    package: PackageSource
    plan: InstallPlan
    layer: Layer
    variables: Mapping[str, str]
    request: LaunchRequest


class RequirementImages:
    """Finds or builds the image a job runs in."""

    def __init__(
        self,
        engine: DockerEngine,
        options: RequirementImageOptions,
        network: JobNetwork,
        storage: EngineStorage,
        engine_facts: EngineFacts,
    ) -> None:
        self._engine = engine
        self._engine_facts = engine_facts
        self._storage = storage
        self._options = options
        self._network = network
        self._flights: SingleFlight[None] = SingleFlight()
        self._building: set[str] = set()
        """Names of the containers in which requirements are being installed."""
        options.cache_dir.mkdir(parents=True, exist_ok=True)

    async def image_for(
        self, request: LaunchRequest, base: str, log: LogAppender, on_stage: OnStage = untold
    ) -> str:
        """The image of a job: `base`, or `base` with what the project needs in it.

        Raises SetupFailedError, ImageUnavailableError, PackageCorruptError.
        """
        package = request.package
        is_own = request.image is not None
        if package is None:
            return await self._ensure_base(base, is_own, on_stage)
        plan = await asyncio.to_thread(install_plan, package, request.install)
        image = key = await self._ensure_base(base, is_own, on_stage)
        if plan.line is not None:
            log.append(f"{plan.line}\n".encode(errors="replace"))
        for layer in plan.layers:
            variables = setup_environment(
                self._options.env, request, of_project=layer.needs_project
            )
            environment = environment_key(variables, request)
            key = layer.key(package.sha256, key, request.cache_scope, environment)
            name = f"{self._options.container_prefix}setup-{uuid.uuid4().hex}"
            # Not the same name again: a controller that was paused past its lease and one that
            # took over may both be at it, and must not take each other's container.
            bounds = await self._storage.bounds(self._options.limits, image)
            setup = _SetUp(name, image, bounds, package, plan, layer, variables, request)
            image = await self._layer_image(setup, key, log, on_stage)
        return image

    async def _layer_image(
        self, setup: "_SetUp", key: str, log: LogAppender, on_stage: OnStage
    ) -> str:
        tag = f"{_REPOSITORY}:{self._options.cache_id[:12]}-{key}"
        if not await self._exists(tag):
            on_stage(LaunchStage.INSTALLING)
            await self._flights.run(key, partial(self._build, setup, tag), log)
        await asyncio.to_thread(self._touch, tag)
        return tag

    async def tidy(self, epoch: int) -> None:
        """Remove the least recently used images beyond the budget, and what a crash left."""
        await self._engine.call(lambda client: self._remove_abandoned(client, epoch))
        await self._engine.call(self._evict)

    async def _ensure_base(self, base: str, is_own: bool, on_stage: OnStage) -> str:
        """The id of the base image, pulled when it is not here; `is_own` when the job names it."""

        def find(client: docker.APIClient) -> str:
            try:
                try:
                    return _base_id(client, base)
                except ImageNotFound:
                    on_stage(LaunchStage.PULLING)
                    _pull(client, base)
                return _base_id(client, base)
            except APIError as error:
                if is_registry_away(error):
                    raise RegistryUnavailableError(
                        f"the image {base!r} is not on the engine, and its registry cannot be "
                        f"reached ({explanation(error)}); {how_to_get(base)} there, or check the "
                        "name and the engine's connection to the registry"
                    ) from error
                if not isinstance(error, NotFound) and not is_registry_fault(error):
                    raise
                raise ImageUnavailableError(
                    f"the image {base!r} is not on the engine and could not be pulled "
                    f"({explanation(error)}); {_advice(base, is_own, error)}"
                ) from error
            except DockerException as error:  # not the engine's: of the login's file or program
                raise ImageUnavailableError(
                    f"the image {base!r} is not on the engine, and the server's login for "
                    f"registries cannot be read ({error}); the operator must correct the "
                    "`config.json` of `docker login`"
                ) from error

        return await self._engine.call(find)

    async def _exists(self, tag: str) -> bool:
        def look(client: docker.APIClient) -> bool:
            try:
                client.inspect_image(tag)
            except ImageNotFound:
                return False
            return True

        return await self._engine.call(look)

    async def _build(self, setup: "_SetUp", tag: str, transcript: Transcript) -> None:
        name = setup.name
        connected: list[KeptOutput] = []
        interruption = Interruption()

        def start(client: docker.APIClient) -> KeptOutput:
            key = os.urandom(protocol.KEY_BYTES)
            self._create_filled(client, setup, key, interruption)
            connected.append(KeptOutput(self._engine, name, key, 0, AttachedOutput(client, name)))
            client.start(name)
            return connected[-1]

        self._building.add(name)
        try:
            output = await self._engine.call(start, interruption)
            await self._run_to_end(setup, output, transcript)
            labels = {container.LABEL_INSTANCE: self._options.cache_id}
            if not await self._exists(tag):  # an instance that shares the cache may be quicker
                await self._engine.call(lambda client: _commit(client, name, tag, labels))
        finally:
            for output in connected:
                output.close()
            await to_completion(self._engine.call(lambda client: remove_container(client, name)))
            self._building.discard(name)

    async def _run_to_end(
        self, setup: "_SetUp", output: KeptOutput, transcript: Transcript
    ) -> None:
        seconds, name, what = self._options.setup_timeout_seconds, setup.name, setup.plan.what
        try:
            async with asyncio.timeout(seconds):
                received = _Received(transcript)
                await pump(output, received.append, received)
                if output.end is not None and (marker := lost_marker(output.end)):
                    transcript.write(marker)
                code = await self._engine.call(lambda client: client.wait(name)["StatusCode"])
        except TimeoutError:
            raise SetupFailedError(
                f"installing {what} took longer than {seconds:g} s, so the job was not run"
            ) from None
        if code != 0:
            raise SetupFailedError(failure(setup.plan, code))

    def _create_filled(
        self, client: docker.APIClient, setup: "_SetUp", key: bytes, interruption: Interruption
    ) -> None:
        """Make the container, with what the installation needs in it."""
        labels = {
            **self._labels(),
            container.LABEL_ROLE: container.ROLE_SETUP,
            container.LABEL_EPOCH: str(setup.request.epoch),
        }
        request, layer = setup.request, setup.layer
        has_secrets = bool(request.secrets)
        environment = environment_file(setup.variables, has_files=has_secrets)
        script = install_script(
            layer, has_secrets=has_secrets, needs_python=request.install is not None
        )
        spec = container.ContainerSpec(
            image=setup.base_id,
            name=setup.name,
            command=["/bin/sh", "-c", script],
            labels=labels,
            limits=self._options.limits,
            isolation=container.Isolation(self._network.ensure(client), self._options.runtime),
            bounds=setup.bounds,
            becomes_image=True,
            has_secrets_volume=bool(environment),
        )
        init = keeper_blocks(
            self._engine_facts.init_program(client), protocol.config(key, 1, USER_ID)
        )
        container.create(client, spec)
        at = request.submitted_at
        more = [*init, *secrets_blocks(request.secrets, at, environment)]
        if layer.needs_project:
            put_project(
                client, setup.name, setup.package, more, interruption, at, files=layer.files
            )
        else:
            client.put_archive(setup.name, "/", files_tar(layer.files, more, at))

    def _labels(self) -> dict[str, str]:
        return {container.LABEL_INSTANCE: self._options.instance_id}

    def _touch(self, tag: str) -> None:
        self._options.cache_dir.mkdir(exist_ok=True)  # not in a data directory that was adopted
        (self._options.cache_dir / tag.rpartition(":")[2]).touch()

    def _remove_abandoned(self, client: docker.APIClient, epoch: int) -> None:
        labels = {**self._labels(), container.LABEL_ROLE: container.ROLE_SETUP}
        remove_abandoned(client, labels, self._building, epoch)

    def _evict(self, client: docker.APIClient) -> None:
        images = client.images(
            name=_REPOSITORY,
            filters={"label": f"{container.LABEL_INSTANCE}={self._options.cache_id}"},
        )
        by_use = sorted(images, key=lambda image: self._last_used(image["RepoTags"]), reverse=True)
        total = 0
        for image in by_use:
            total += _own_size(client, image)
            if total > self._options.budget_bytes:
                self._remove_image(client, image["RepoTags"])

    def _remove_image(self, client: docker.APIClient, tags: list[str]) -> None:
        for tag in tags:
            try:
                client.remove_image(tag)
            except APIError as error:
                logger.debug("could not remove %s: %s", tag, error)  # a job is using it
                continue
            (self._options.cache_dir / tag.rpartition(":")[2]).unlink(missing_ok=True)
            logger.info("removed the cached requirements %s", tag)

    def _last_used(self, tags: list[str] | None) -> float:
        try:
            path = self._options.cache_dir / (tags or [":none"])[0].rpartition(":")[2]
            return path.stat().st_mtime
        except FileNotFoundError:
            return 0.0


class _Received(Storage):
    """The output of a set-up. It is never read again, so received bytes can be discarded."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._size = 0

    @property
    @override
    def skip(self) -> int:
        return self._size

    def append(self, content: bytes) -> None:
        self._transcript.write(content)
        self._size += len(content)

    @override
    def sync(self) -> None:
        pass  # nothing is kept of a set-up that did not end


def _base_id(client: docker.APIClient, base: str) -> str:
    """Images with requirements do not count: they hold a tenant's packages, perhaps its project,
    but have names and ids as all images have, and the engine takes a few digits of an id for the
    whole.
    """
    facts = client.inspect_image(base)
    if container.LABEL_INSTANCE in (facts["Config"]["Labels"] or {}):
        raise ImageNotFound("there is no such base image")
    return str(facts["Id"])


def how_to_get(image: str) -> str:
    """What to do about an image that is missing: the command for those that this project builds."""
    option = _BUILT_HERE.get(image.removesuffix(":latest"))
    return "build or load it" if option is None else f"run scripts/runner-image{option}"


def _advice(image: str, is_own: bool, error: APIError) -> str:
    """What to do about an image that no registry has."""
    if is_host_unknown(error):  # no registry was asked, so that nothing is known of the image
        return (
            f"check the registry in the image's name and the engine's DNS, or {how_to_get(image)}"
        )
    if is_own and image.removesuffix(":latest") not in _BUILT_HERE:
        return f"{WRONG_IMAGE} (`image` in the project's job), or {how_to_get(image)} there"
    return (
        f"{how_to_get(image)} there, or choose another (the server's CI_IMAGE, or `image` in the "
        "project's job)"
    )


def _pull(client: docker.APIClient, image: str) -> None:
    repository, _, tag = image.partition("@")[0].rpartition(":")
    if "/" in tag or not repository:
        repository, tag = image, "latest"
    # It reads them when it is made only, and `docker login` must not need another server.
    client.reload_config()
    if "@" in image:
        progress = client.pull(image, stream=True, decode=True)
    else:
        progress = client.pull(repository, tag, stream=True, decode=True)
    # It had begun when it failed, so the status is that of a success. What comes after the error is
    # read, too, though it is nothing: otherwise the connection would stay open.
    errors = [told["error"] for told in progress if "error" in told]
    if errors:
        raise APIError(errors[0], explanation=errors[0])


def _own_size(client: docker.APIClient, image: dict[str, Any]) -> int:
    """Bytes on disk beyond the base image: the newest entry of the image's history."""
    return int(client.history(image["Id"])[0]["Size"])


def _commit(client: docker.APIClient, name: str, tag: str, labels: dict[str, str]) -> None:
    repository, _, version = tag.rpartition(":")
    client.commit(name, repository, version, conf={"Labels": labels}, pause=False)
