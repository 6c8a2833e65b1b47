"""Makes a Docker executor of settings."""

from ci_controller.executors.docker.executor import DockerExecutor, DockerOptions
from ci_controller.executors.docker.settings import DockerSettings
from ci_controller.executors.shared.context import ExecutorContext


def docker_executor(settings: DockerSettings, context: ExecutorContext) -> DockerExecutor:
    """The executor of one instance. The engine is named by `DOCKER_HOST`."""
    return DockerExecutor(
        DockerOptions(
            instance_id=context.instance_id,
            image=settings.image,
            cache_dir=context.data_path / "deps",
            container_prefix=settings.container_prefix,
            deps_cache_bytes=settings.deps_cache_mb << 20,
            setup_timeout_seconds=context.setup_timeout_seconds,
            work_mb=context.work_mb,
            network=settings.docker_network,
            runtime=settings.docker_runtime,
            setup_limits=context.setup_limits,
            setup_env=context.setup_env,
        )
    )
