"""Jobs as containers (port Executor)."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from ci_common.errors import LaunchFailedError, WorkloadLostError
from ci_common.job import Job
from ci_common.ports import LogAppender, Output, Workload
from ci_controller.executors.docker import container
from ci_controller.executors.docker.engine import DockerEngine
from ci_controller.executors.docker.layers import DependencyLayers, LayerOptions
from ci_controller.executors.docker.output import AttachedOutput, StoredOutput
from ci_controller.executors.docker.project_tar import project_tar
from ci_controller.project_archive import ProjectArchive

logger = logging.getLogger(__name__)

_CONFLICT = 409
_NOT_MODIFIED = 304


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


class DockerExecutor:
    """Containers are never removed by the engine itself: their exit code and log are needed."""

    def __init__(self, options: DockerOptions) -> None:
        self._options = options
        self._engine = DockerEngine()
        self._layers = DependencyLayers(
            self._engine,
            LayerOptions(
                instance_id=options.instance_id,
                container_prefix=options.container_prefix,
                cache_dir=options.cache_dir,
                budget_bytes=options.deps_cache_bytes,
                setup_timeout_seconds=options.setup_timeout_seconds,
            ),
        )

    async def list_workloads(self) -> Sequence[Workload]:
        """See Executor."""
        labels = [
            f"{container.LABEL_INSTANCE}={self._options.instance_id}",
            f"{container.LABEL_ROLE}={container.ROLE_JOB}",
        ]
        found = await self._engine.look(
            lambda client: client.containers(all=True, filters={"label": labels})
        )
        return [container.from_list(entry) for entry in found if entry["State"] != "removing"]

    async def inspect(self, job_id: str) -> Workload | None:
        """See Executor."""

        def look(client: docker.APIClient) -> Workload | None:
            try:
                return container.from_inspect(client.inspect_container(self._name(job_id)))
            except NotFound:
                return None

        return await self._engine.look(look)

    async def launch(self, job: Job, package: Path, log: LogAppender) -> Output:
        """See Executor."""
        base = job.spec.image or self._options.image
        connected: list[AttachedOutput] = []

        def begin(client: docker.APIClient, image: str, log_base: int) -> Output:
            self._remove(client, job.job_id)
            self._create(client, job, image, log_base)
            with ProjectArchive(package) as archive:
                client.put_archive(self._name(job.job_id), "/", project_tar(archive))
            connected.append(AttachedOutput(client, self._name(job.job_id)))
            client.start(self._name(job.job_id))
            return connected[0]

        try:
            image = await self._layers.image_for(job, base, package, log)
            return await self._engine.call(lambda client: begin(client, image, log.size))
        except BaseException as error:
            for output in connected:
                output.close()
            await asyncio.shield(self._clean_up(job.job_id))
            if isinstance(error, APIError):
                raise LaunchFailedError(
                    f"the container engine refused to run the job: {error.explanation or error}. "
                    f"Does the image {base!r} have /bin/sh, and is the working directory usable?"
                ) from error
            raise

    async def reattach(self, job_id: str, skip: int) -> Output:
        """See Executor."""

        def connect(client: docker.APIClient) -> Output:
            try:
                return StoredOutput(client, self._name(job_id), skip)
            except NotFound as error:
                raise WorkloadLostError from error

        return await self._engine.call(connect)

    async def stop(self, job_id: str, grace_seconds: float) -> None:
        """See Executor."""

        def end(client: docker.APIClient) -> None:
            try:
                client.stop(self._name(job_id), timeout=round(grace_seconds))
            except NotFound:
                return

        await self._engine.call(end)

    async def remove(self, job_id: str) -> None:
        """See Executor."""
        await self._engine.call(lambda client: self._remove(client, job_id))

    async def tidy(self) -> None:
        """See Executor."""
        await self._layers.tidy()

    async def close(self) -> None:
        """See Executor."""
        self._engine.close()

    def _name(self, job_id: str) -> str:
        return f"{self._options.container_prefix}{job_id}"

    def _create(self, client: docker.APIClient, job: Job, image: str, log_base: int) -> None:
        container.create(
            client,
            image=image,
            name=self._name(job.job_id),
            command=list(job.spec.command),
            labels={
                container.LABEL_INSTANCE: self._options.instance_id,
                container.LABEL_ROLE: container.ROLE_JOB,
                container.LABEL_JOB: job.job_id,
                container.LABEL_LOG_BASE: str(log_base),
            },
            env={"CI_JOB_ID": job.job_id, **job.spec.env},
            limits=job.spec.limits,
        )

    def _remove(self, client: docker.APIClient, job_id: str) -> None:
        try:
            client.remove_container(self._name(job_id), force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != _CONFLICT:  # a removal is under way already
                raise

    async def _clean_up(self, job_id: str) -> None:
        try:
            await self.remove(job_id)
        except Exception as error:  # noqa: BLE001 - the launch's own error matters more
            logger.warning("job %s: nothing removed yet: %s", job_id, error)
