"""The image jobs run in, built from `docker/Dockerfile`."""

import docker

from setup_steps import image_build
from setup_steps.paths import DOCKER_DIR

DEFAULT_NAME = "ci-runner:latest"
SLIM_NAME = "ci-runner:slim"
OWN_FILES = ("Dockerfile", "ci_runner_reports.py")


def ensure(
    client: docker.DockerClient,
    name: str = DEFAULT_NAME,
    *,
    slim: bool = False,
    refresh: bool = False,
) -> bool:
    """Make sure that the image is on the engine and current; say whether it was built. A `slim` one
    has neither git nor a compiler.

    Raises:
        SetupError: it could not be built, with the end of the build's output.
    """
    return image_build.ensure(client, name, recipe(slim=slim), refresh=refresh)


def recipe(*, slim: bool = False) -> image_build.Recipe:
    """Everything that the build reads."""
    files = {name: (DOCKER_DIR / name).read_bytes() for name in OWN_FILES}
    arguments = {"VARIANT": "slim" if slim else "full"}
    return image_build.Recipe("Dockerfile", files | image_build.common_files(), arguments)
