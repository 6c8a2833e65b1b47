"""Jobs as containers (port Executor)."""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from typing_extensions import override

from ci_common.errors import (
    EngineFailingError,
    LaunchFailedError,
    LeaseLostError,
    WorkloadLostError,
)
from ci_common.job import Network, ResourceLimits
from ci_common.ports.launch_request import LaunchRequest, ProbeRequest
from ci_common.ports.logs import LogAppender
from ci_common.ports.unenforced_limits import Unenforced
from ci_common.ports.workloads import (
    Executor,
    Leftover,
    OnStage,
    Output,
    Workload,
    WorkloadFiles,
    untold,
)
from ci_common.resources import ResourceUsage
from ci_controller.executors.docker import container
from ci_controller.executors.docker.enforcement import unenforced
from ci_controller.executors.docker.engine import DockerEngine, remove_container
from ci_controller.executors.docker.engine_facts import EngineFacts
from ci_controller.executors.docker.error_kinds import explanation, is_sysctl_refused, remedy
from ci_controller.executors.docker.files import container_files
from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.kept_output import KeptOutput
from ci_controller.executors.docker.leftovers import find_leftovers, remove_leftover
from ci_controller.executors.docker.network import ENGINES_OWN, JOB_NETWORK, JobNetwork
from ci_controller.executors.docker.output import AttachedOutput, LegacyOutput
from ci_controller.executors.docker.probe import EngineProbe, ProbeOptions, networks_of
from ci_controller.executors.docker.project_tar import (
    SECRETS,
    USER_ID,
    WORKSPACE,
    keeper_blocks,
    put_project,
    secrets_blocks,
)
from ci_controller.executors.docker.requirement_images import (
    RequirementImageOptions,
    RequirementImages,
    how_to_get,
)
from ci_controller.executors.docker.storage import EngineStorage, WorkLimit
from ci_controller.executors.docker.usage import container_usage
from ci_controller.executors.shared.interruption import InterruptedWorkError, Interruption
from ci_controller.executors.shared.job_environment import job_environment
from ci_controller.executors.shared.package import verify

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """How this instance uses the engine."""

    instance_id: str
    """Labels all that is ours; the engine may serve other instances too."""
    image: str
    cache_dir: Path
    container_prefix: str = ""
    cache_id: str | None = None
    """Whose installed requirements: of a cache that instances share; `None`: its own."""
    deps_cache_bytes: int = 10 << 30
    setup_timeout_seconds: float = 900.0
    work_mb: int | None = None
    network: str | None = JOB_NETWORK
    """That jobs are on, but for those that have none. `None`: those of a server without identities,
    which are all of one user, are on the engine's own, where containers start sooner.
    """
    runtime: str | None = None
    """Runs containers instead of the engine's default."""
    setup_limits: ResourceLimits = field(default_factory=ResourceLimits)
    """Of the installation of requirements."""
    setup_env: Mapping[str, str] = field(default_factory=dict)
    """Variables of the installation, such as an index."""


@dataclass(frozen=True, slots=True)
class _Launch:
    """What the steps of one launch have in common."""

    request: LaunchRequest
    base_image: str
    log: LogAppender
    on_stage: OnStage
    interruption: Interruption = field(default_factory=Interruption)
    connected: list[KeptOutput] = field(default_factory=list)
    """To be closed when the launch fails."""


class DockerExecutor(Executor):
    """Containers are never removed by the engine itself: their exit code and log are needed."""

    def __init__(self, options: DockerOptions) -> None:
        self._options = options
        self._engine = DockerEngine()
        self._network = JobNetwork(options.network or JOB_NETWORK)
        self._engine_facts = EngineFacts()
        self._loopback_ipv6 = True
        """Until the engine refuses it."""
        self._unenforced: list[Unenforced] | None = None
        """Besides the size of containers."""
        self._outputs: WeakValueDictionary[str, KeptOutput] = WeakValueDictionary()
        self._storage = EngineStorage(
            self._engine,
            self._engine_facts,
            WorkLimit(
                options.work_mb,
                {
                    container.LABEL_INSTANCE: options.instance_id,
                    container.LABEL_ROLE: container.ROLE_PROBE,
                },
                options.container_prefix,
            ),
        )
        self._probe = EngineProbe(
            ProbeOptions(
                options.instance_id, options.container_prefix, options.image, options.runtime
            ),
            self._engine_facts,
        )
        self._images = RequirementImages(
            self._engine,
            RequirementImageOptions(
                instance_id=options.instance_id,
                container_prefix=options.container_prefix,
                cache_dir=options.cache_dir,
                cache_id=options.cache_id or options.instance_id,
                budget_bytes=options.deps_cache_bytes,
                setup_timeout_seconds=options.setup_timeout_seconds,
                runtime=options.runtime,
                limits=options.setup_limits,
                env=options.setup_env,
            ),
            self._network,
            self._storage,
            self._engine_facts,
        )

    @override
    async def list_workloads(self) -> Sequence[Workload]:
        found = await self._engine.look(
            lambda client: client.containers(all=True, filters={"label": self._labels()})
        )
        return [container.from_list(entry) for entry in found if entry["State"] != "removing"]

    @override
    async def inspect(self, job_id: str) -> Workload | None:
        def look(client: docker.APIClient) -> Workload | None:
            try:
                return container.from_inspect(self._facts(client, job_id))
            except NotFound:
                return None

        return await self._engine.look(look)

    @override
    async def launch(
        self, request: LaunchRequest, log: LogAppender, on_stage: OnStage = untold
    ) -> Output:
        await verify(request.package)
        base = request.image or self._options.image
        launch = _Launch(request, base, log, on_stage)
        try:
            try:
                return await self._prepare_and_start(launch)
            except EngineFailingError as error:
                if not isinstance(error.__cause__, ImageNotFound):
                    raise
                # The image was evicted since it was found: it is made once more.
                return await self._prepare_and_start(launch)
        except BaseException as error:
            for output in launch.connected:
                output.close()
            self._network.invalidate()
            if not isinstance(error, APIError):
                raise
            raise LaunchFailedError(
                remedy(error, self._options.runtime)
                or f"the container engine refused to run the job in the image {base!r}: "
                f"{explanation(error)}"
            ) from error

    async def _prepare_and_start(self, launch: "_Launch") -> Output:
        request, log = launch.request, launch.log
        image = await self._images.image_for(request, launch.base_image, log, launch.on_stage)
        log_base = log.size
        bounds = await self._storage.bounds(request.limits, image)

        def start(client: docker.APIClient) -> Output:
            self._replace(client, request)
            key = os.urandom(protocol.KEY_BYTES)
            spec = self._spec(client, request, image, bounds, log_base, key)
            try:
                return self._create_and_start(client, launch, spec, key)
            except APIError as error:
                if not (spec.loopback_ipv6 and is_sysctl_refused(error)):
                    raise
                self._loopback_ipv6 = False
                logger.warning(
                    "jobs run without the IPv6 loopback address (::1): %s", explanation(error)
                )
                spec = replace(spec, loopback_ipv6=False)
                return self._create_and_start(client, launch, spec, key)

        return await self._engine.call(start, launch.interruption)

    def _create_and_start(
        self, client: docker.APIClient, launch: "_Launch", spec: container.ContainerSpec, key: bytes
    ) -> Output:
        container_id = container.create(client, spec)
        try:
            return self._fill_and_start(client, launch, container_id, key)
        except InterruptedWorkError:
            # To remove a hundred thousand files takes the engine as long as to make them, and
            # nobody is to wait for that: `remove` or the next launch does it.
            raise
        except BaseException:
            remove_container(client, container_id)
            raise

    def _fill_and_start(
        self, client: docker.APIClient, launch: "_Launch", container_id: str, key: bytes
    ) -> Output:
        request = launch.request
        init = keeper_blocks(
            self._engine_facts.init_program(client),
            protocol.config(key, request.attempt, USER_ID, terminal=request.tty),
        )
        more = [*init, *secrets_blocks(request.secrets, request.submitted_at)]
        put_project(
            client, container_id, request.package, more, launch.interruption, request.submitted_at
        )
        launch.interruption.check()
        output = KeptOutput(
            self._engine, container_id, key, 0, AttachedOutput(client, container_id)
        )
        launch.connected.append(output)
        self._outputs[request.job_id] = output
        client.start(container_id)
        self._probe.note_started(launch.base_image)
        return output

    @override
    async def reattach(self, job_id: str, skip: int) -> Output:
        def connect(client: docker.APIClient) -> Output:
            try:
                facts = self._facts(client, job_id)
            except NotFound as error:
                raise WorkloadLostError from error
            key = container.key_of(facts["Config"]["Labels"])
            if key is None:
                return LegacyOutput(self._engine, facts["Id"], skip)
            output = KeptOutput(
                self._engine,
                facts["Id"],
                key,
                skip,
                may_attach=not self._engine_facts.is_podman(client),
            )
            self._outputs[job_id] = output
            return output

        return await self._engine.call(connect)

    @override
    async def files(self, job_id: str, path: str) -> WorkloadFiles | None:
        def look(client: docker.APIClient) -> WorkloadFiles | None:
            try:
                found = self._facts(client, job_id)["Id"]
            except NotFound as error:
                raise WorkloadLostError from error
            return container_files(client, found, path)

        return await self._engine.call(look)

    @override
    async def stop(self, job_id: str, grace_seconds: float) -> None:
        if (output := self._outputs.get(job_id)) is not None:
            output.close_idle_connection()

        def end(client: docker.APIClient) -> None:
            try:
                facts = self._facts(client, job_id)
                if container.key_of(facts["Config"]["Labels"]) is not None:
                    container.stop(client, facts["Id"], grace_seconds)
                else:
                    client.stop(facts["Id"], timeout=math.ceil(grace_seconds))
            except NotFound:
                return

        await self._engine.call(end)

    @override
    async def remove(self, job_id: str) -> None:
        if (output := self._outputs.get(job_id)) is not None:
            output.close_idle_connection()

        def end(client: docker.APIClient) -> None:
            try:
                remove_container(client, self._facts(client, job_id)["Id"])
            except NotFound:
                return

        await self._engine.call(end)

    @override
    async def check(self) -> Sequence[Unenforced]:
        work = await self._storage.unenforced(self._options.image)
        if self._unenforced is None:

            def ask(client: docker.APIClient) -> list[Unenforced]:
                is_podman = self._engine_facts.is_podman(client)
                facts = self._engine_facts.info(client)
                return [*unenforced(facts, self._options.runtime, is_podman=is_podman)]

            self._unenforced = await self._engine.call(ask)
        return [*([work] if work else []), *self._unenforced]

    @override
    async def usage(self, job_id: str) -> ResourceUsage | None:
        def look(client: docker.APIClient) -> ResourceUsage | None:
            try:
                return container_usage(client, self._name(job_id))
            except NotFound:
                return None

        return await self._engine.measure(look)

    @override
    async def describe(self) -> str:
        image = self._options.image

        def look(client: docker.APIClient) -> str:
            engine = self._engine_facts.name(client)
            try:
                client.inspect_image(image)
            except NotFound:
                return f"{engine}; the image {image} is missing: {how_to_get(image)}"
            return f"{engine}, with the image {image}"

        return await self._engine.call(look)

    @override
    async def probe(self, request: ProbeRequest) -> None:
        bounds = await self._storage.bounds(ResourceLimits(), self._options.image)

        def start(client: docker.APIClient) -> None:
            has_network = request.network is not Network.NONE
            with self._probe.judging():
                own = "none"
                if has_network:
                    own = self._ensured_network(client, isolated=request.isolated)
                for network in networks_of(own, self._network.name, client):
                    self._probe.start(client, network, bounds, request.epoch)

        await self._engine.call(start)

    @override
    async def tidy(self, epoch: int) -> None:
        await self._engine.call(lambda client: self._probe.tidy(client, epoch))
        await self._images.tidy(epoch)

    @override
    async def leftovers(self, older_than_seconds: float) -> Sequence[Leftover]:
        instance_id = self._options.instance_id
        return await self._engine.call(
            lambda client: find_leftovers(client, instance_id, older_than_seconds)
        )

    @override
    async def remove_leftover(self, leftover: Leftover) -> None:
        await self._engine.call(lambda client: remove_leftover(client, leftover))

    @override
    async def close(self) -> None:
        self._engine.close()

    def _ensured_network(self, client: docker.APIClient, *, isolated: bool) -> str:
        if not isolated and not self._options.network:
            return ENGINES_OWN
        return self._network.ensure(client)

    def _name(self, job_id: str) -> str:
        return f"{self._options.container_prefix}{job_id}"

    def _facts(self, client: docker.APIClient, job_id: str) -> dict[str, Any]:
        """What the engine knows of a job's container; raises NotFound.

        By its name, or, where an earlier start had another prefix, by its labels.
        """
        try:
            facts: dict[str, Any] = client.inspect_container(self._name(job_id))
        except NotFound:
            labels = [*self._labels(), f"{container.LABEL_JOB}={job_id}"]
            found = client.containers(all=True, filters={"label": labels})
            if not found:
                raise
            facts = client.inspect_container(found[0]["Id"])
        return facts

    def _labels(self) -> list[str]:
        return [
            f"{container.LABEL_INSTANCE}={self._options.instance_id}",
            f"{container.LABEL_ROLE}={container.ROLE_JOB}",
        ]

    def _spec(
        self,
        client: docker.APIClient,
        request: LaunchRequest,
        image: str,
        bounds: container.EngineBounds,
        log_base: int,
        key: bytes,
    ) -> container.ContainerSpec:
        network = "none"
        if request.limits.network is not Network.NONE:
            network = self._ensured_network(client, isolated=request.isolated)
        return container.ContainerSpec(
            image=image,
            name=self._name(request.job_id),
            command=request.command,
            loopback_ipv6=self._loopback_ipv6,
            labels={
                container.LABEL_INSTANCE: self._options.instance_id,
                container.LABEL_ROLE: container.ROLE_JOB,
                container.LABEL_JOB: request.job_id,
                container.LABEL_ATTEMPT: str(request.attempt),
                container.LABEL_EPOCH: str(request.epoch),
                container.LABEL_LOG_BASE: str(log_base),
                container.LABEL_KEY: key.hex(),
            },
            env=job_environment(request, f"/{WORKSPACE}", f"/{SECRETS}"),
            secret_variables=[one.name for one in request.secrets if one.in_environment],
            limits=request.limits,
            isolation=container.Isolation(network, self._options.runtime),
            bounds=bounds,
        )

    def _replace(self, client: docker.APIClient, request: LaunchRequest) -> None:
        """Remove what an earlier attempt or controller left. By its id: if a later controller
        puts its own in its place meanwhile, that one is not touched.
        """
        try:
            facts = self._facts(client, request.job_id)
        except NotFound:
            return
        if container.epoch_of(facts["Config"]["Labels"]) > request.epoch:
            raise LeaseLostError
        remove_container(client, facts["Id"])
