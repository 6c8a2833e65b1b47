"""The image of the server, built from `deploy/docker/Dockerfile`."""

import docker

from setup_steps import image_build
from setup_steps.paths import ROOT

DEFAULT_NAME = "ci-runner-server:latest"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
PACKAGES = (
    "ci_admin",
    "ci_client",
    "ci_common",
    "ci_controller",
    "ci_persistence",
    "ci_server",
    "ci_worker",
)


def ensure(client: docker.DockerClient, name: str = DEFAULT_NAME, *, refresh: bool = False) -> bool:
    """Make sure that the image is on the engine and current; say whether it was built.

    Raises:
        SetupError: it could not be built, with the end of the build's output.
    """
    return image_build.ensure(client, name, recipe(), refresh=refresh)


def recipe() -> image_build.Recipe:
    """Everything that the build reads."""
    files = image_build.common_files() | {DOCKERFILE.name: DOCKERFILE.read_bytes()}
    for name in ("pyproject.toml", "README.md"):
        files[name] = (ROOT / name).read_bytes()
    for package in PACKAGES:
        files |= image_build.package_files(ROOT / package)
    return image_build.Recipe(DOCKERFILE.name, files)
