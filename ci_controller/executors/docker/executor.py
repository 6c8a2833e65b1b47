"""Jobs as containers (port Executor)."""

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import docker
from docker.errors import APIError, ImageNotFound, NotFound

from ci_common.errors import (
    EngineFailingError,
    LaunchFailedError,
    LeaseLostError,
    WorkloadLostError,
)
from ci_common.job import Job, Network, ResourceLimits
from ci_common.ports.logs import LogAppender
from ci_common.ports.unenforced_limits import Unenforced
from ci_common.ports.workloads import Output, Workload, WorkloadFiles
from ci_common.principal import LOCAL_PRINCIPAL
from ci_common.secret import Secret
from ci_common.settings import JOB_NETWORK
from ci_controller.executors.docker import container
from ci_controller.executors.docker.blame import explanation, remedy
from ci_controller.executors.docker.enforcement import unenforced
from ci_controller.executors.docker.engine import DockerEngine, remove_container
from ci_controller.executors.docker.engine_facts import EngineFacts
from ci_controller.executors.docker.files import container_files
from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.kept_output import KeptOutput
from ci_controller.executors.docker.layers import DependencyLayers, LayerOptions
from ci_controller.executors.docker.network import ENGINES_OWN, JobNetwork
from ci_controller.executors.docker.output import AttachedOutput, LegacyOutput
from ci_controller.executors.docker.probe import EngineProbe, ProbeOptions, networks_of
from ci_controller.executors.docker.project_tar import (
    SECRETS,
    USER_ID,
    WORKSPACE,
    keeper_blocks,
    project_tar,
    secrets_blocks,
)
from ci_controller.executors.docker.storage import EngineStorage, WorkLimit
from ci_controller.executors.shared.interruption import InterruptedWorkError, Interruption
from ci_controller.executors.shared.job_environment import job_environment
from ci_controller.executors.shared.project_archive import ProjectArchive

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """How this instance uses the engine."""

    instance_id: str
    """Labels all that is ours; the engine may serve other instances too."""
    image: str
    cache_dir: Path
    container_prefix: str = ""
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


class DockerExecutor:
    """Containers are never removed by the engine itself: their exit code and log are needed."""

    def __init__(self, options: DockerOptions) -> None:
        self._options = options
        self._engine = DockerEngine()
        self._network = JobNetwork(options.network or JOB_NETWORK)
        self._engine_facts = EngineFacts()
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
        self._layers = DependencyLayers(
            self._engine,
            LayerOptions(
                instance_id=options.instance_id,
                container_prefix=options.container_prefix,
                cache_dir=options.cache_dir,
                budget_bytes=options.deps_cache_bytes,
                setup_timeout_seconds=options.setup_timeout_seconds,
                runtime=options.runtime,
                limits=options.setup_limits,
            ),
            self._network,
            self._storage,
            self._engine_facts,
        )

    async def list_workloads(self) -> Sequence[Workload]:
        """See Executor."""
        found = await self._engine.look(
            lambda client: client.containers(all=True, filters={"label": self._labels()})
        )
        return [container.from_list(entry) for entry in found if entry["State"] != "removing"]

    async def inspect(self, job_id: str) -> Workload | None:
        """See Executor."""

        def look(client: docker.APIClient) -> Workload | None:
            try:
                return container.from_inspect(self._facts(client, job_id))
            except NotFound:
                return None

        return await self._engine.look(look)

    async def launch(
        self,
        job: Job,
        package: Path,
        log: LogAppender,
        epoch: int,
        secrets: Sequence[Secret] = (),
    ) -> Output:
        """See Executor."""
        base = job.spec.image or self._options.image
        connected: list[KeptOutput] = []
        interruption = Interruption()

        async def prepare_and_begin() -> Output:
            image = await self._layers.image_for(job, base, package, log, epoch)
            log_base = log.size
            bounds = await self._storage.bounds(job.spec.limits, image)
            return await self._engine.call(
                lambda client: begin(client, image, bounds, log_base), interruption
            )

        def begin(
            client: docker.APIClient, image: str, bounds: container.EngineBounds, log_base: int
        ) -> Output:
            self._replace(client, job.job_id, epoch)
            program = self._engine_facts.init_program(client)
            key = os.urandom(protocol.KEY_BYTES)
            container_id = self._create(client, job, image, bounds, log_base, epoch, secrets, key)
            try:
                config = protocol.config(key, job.attempt, USER_ID)
                with ProjectArchive(package) as archive:
                    more = [*keeper_blocks(program, config), *secrets_blocks(secrets)]
                    content = project_tar(archive, more, interruption)
                    client.put_archive(container_id, "/", content)
                interruption.check()
                attached = AttachedOutput(client, container_id)
                connected.append(KeptOutput(self._engine, container_id, key, 0, attached))
                self._outputs[job.job_id] = connected[-1]
                client.start(container_id)
            except InterruptedWorkError:
                # To remove a hundred thousand files takes the engine as long as to make them, and
                # nobody is to wait for that: `remove` or the next launch does it.
                raise
            except BaseException:
                remove_container(client, container_id)
                raise
            self._probe.note_started(base)
            return connected[-1]

        try:
            try:
                return await prepare_and_begin()
            except EngineFailingError as error:
                if not isinstance(error.__cause__, ImageNotFound):
                    raise
                return await prepare_and_begin()  # evicted since it was found: had once more
        except BaseException as error:
            for output in connected:
                output.close()
            self._network.doubt()
            if not isinstance(error, APIError):
                raise
            raise LaunchFailedError(
                remedy(error, self._options.runtime)
                or f"the container engine refused to run the job in the image {base!r}: "
                f"{explanation(error)}"
            ) from error

    async def reattach(self, job_id: str, skip: int) -> Output:
        """See Executor."""

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

    async def files(self, job_id: str, path: str) -> WorkloadFiles | None:
        """See Executor."""

        def look(client: docker.APIClient) -> WorkloadFiles | None:
            try:
                found = self._facts(client, job_id)["Id"]
            except NotFound as error:
                raise WorkloadLostError from error
            return container_files(client, found, path)

        return await self._engine.call(look)

    async def stop(self, job_id: str, grace_seconds: float) -> None:
        """See Executor."""
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

    async def remove(self, job_id: str) -> None:
        """See Executor."""
        if (output := self._outputs.get(job_id)) is not None:
            output.close_idle_connection()

        def end(client: docker.APIClient) -> None:
            try:
                remove_container(client, self._facts(client, job_id)["Id"])
            except NotFound:
                return

        await self._engine.call(end)

    async def check(self) -> Sequence[Unenforced]:
        """See Executor."""
        work = await self._storage.unenforced(self._options.image)
        if self._unenforced is None:

            def ask(client: docker.APIClient) -> list[Unenforced]:
                is_podman = self._engine_facts.is_podman(client)
                facts = self._engine_facts.info(client)
                return [*unenforced(facts, self._options.runtime, is_podman=is_podman)]

            self._unenforced = await self._engine.call(ask)
        return [*([work] if work else []), *self._unenforced]

    async def probe(self, job: Job, epoch: int) -> None:
        """See Executor."""
        bounds = await self._storage.bounds(ResourceLimits(), self._options.image)

        def start(client: docker.APIClient) -> None:
            on_network = job.spec.limits.network is not Network.NONE
            with self._probe.judging():
                own = self._network_of(client, job) if on_network else "none"
                for network in networks_of(own, self._network.name, client):
                    self._probe.start(client, network, bounds, epoch)

        await self._engine.call(start)

    async def tidy(self, epoch: int) -> None:
        """See Executor."""
        await self._engine.call(lambda client: self._probe.tidy(client, epoch))
        await self._layers.tidy(epoch)

    async def close(self) -> None:
        """See Executor."""
        self._engine.close()

    def _network_of(self, client: docker.APIClient, job: Job) -> str:
        is_local = (job.tenant, job.user) == (LOCAL_PRINCIPAL.tenant, LOCAL_PRINCIPAL.user)
        if job.spec.limits.network is Network.NONE or (is_local and not self._options.network):
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

    def _create(
        self,
        client: docker.APIClient,
        job: Job,
        image: str,
        bounds: container.EngineBounds,
        log_base: int,
        epoch: int,
        secrets: Sequence[Secret],
        key: bytes,
    ) -> str:
        network = self._network_of(client, job)
        return container.create(
            client,
            image=image,
            name=self._name(job.job_id),
            command=list(job.spec.command),
            labels={
                container.LABEL_INSTANCE: self._options.instance_id,
                container.LABEL_ROLE: container.ROLE_JOB,
                container.LABEL_JOB: job.job_id,
                container.LABEL_ATTEMPT: str(job.attempt),
                container.LABEL_EPOCH: str(epoch),
                container.LABEL_LOG_BASE: str(log_base),
                container.LABEL_KEY: key.hex(),
            },
            env=job_environment(job, f"/{WORKSPACE}", f"/{SECRETS}" if secrets else None),
            secret_variables=[secret.name for secret in secrets if secret.in_environment],
            limits=job.spec.limits,
            isolation=container.Isolation(network, self._options.runtime),
            bounds=bounds,
        )

    def _replace(self, client: docker.APIClient, job_id: str, epoch: int) -> None:
        """Remove what an earlier attempt or controller left. By its id: if a later controller
        puts its own in its place meanwhile, that one is not touched.
        """
        try:
            facts = self._facts(client, job_id)
        except NotFound:
            return
        if container.epoch_of(facts["Config"]["Labels"]) > epoch:
            raise LeaseLostError
        remove_container(client, facts["Id"])
