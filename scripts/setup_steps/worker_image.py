"""The image of the calculation worker, built from `docker/worker.Dockerfile`."""

import docker

from setup_steps import image_build
from setup_steps.paths import DOCKER_DIR

DEFAULT_NAME = "engine-worker:latest"
DOCKERFILE = "worker.Dockerfile"


def ensure(client: docker.DockerClient, name: str = DEFAULT_NAME, *, refresh: bool = False) -> bool:
    """Make sure that the image is on the engine and current; say whether it was built.

    Raises:
        SetupError: it could not be built, with the end of the build's output.
    """
    return image_build.ensure(client, name, recipe(), refresh=refresh)


def recipe() -> image_build.Recipe:
    """Everything that the build reads."""
    files = {DOCKERFILE: (DOCKER_DIR / DOCKERFILE).read_bytes()}
    return image_build.Recipe(DOCKERFILE, files | image_build.common_files())
