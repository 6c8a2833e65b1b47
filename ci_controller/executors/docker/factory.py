"""Makes a Docker executor of settings."""

from ci_controller.executors.docker.executor import DockerExecutor, DockerOptions
from ci_controller.executors.docker.settings import DockerSettings
from ci_controller.executors.docker.shared_cache import shared_cache_id
from ci_controller.executors.shared.context import ExecutorContext


def docker_executor(settings: DockerSettings, context: ExecutorContext) -> DockerExecutor:
    """The executor of one instance. The engine is named by `DOCKER_HOST`.

    Raises SettingsError for a shared cache that cannot be used.
    """
    shared = settings.deps_cache_dir
    return DockerExecutor(
        DockerOptions(
            instance_id=context.instance_id,
            image=settings.image,
            cache_dir=shared or context.data_path / "deps",
            cache_id=shared_cache_id(shared) if shared else None,
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
