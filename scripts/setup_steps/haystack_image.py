"""The image of the worked example of runs: the slim runner image, anndata, the example, its atlas.

Built from `examples/haystack/`, and again when an input or the runner image below it changed.
"""

import docker

from setup_steps import image_build, runner_image
from setup_steps.paths import EXAMPLES

DEFAULT_NAME = "ci-runner-haystack:latest"
EXAMPLE = EXAMPLES / "haystack"


def ensure(client: docker.DockerClient, name: str = DEFAULT_NAME, *, refresh: bool = False) -> bool:
    """Make sure that the image, and the one below it, are on the engine and current; say whether
    it was built.

    Raises:
        SetupError: one of them could not be built, with the end of the build's output.
    """
    base = runner_image.SLIM_NAME
    runner_image.ensure(client, base, slim=True, refresh=refresh)
    below = str(client.images.get(base).id)
    return image_build.ensure(client, name, recipe(below), base=base, refresh=refresh)


def recipe(below: str = "") -> image_build.Recipe:
    """Everything that the build reads, and the id of the image below."""
    files = {"Dockerfile": (EXAMPLE / "Dockerfile").read_bytes()}
    files |= image_build.package_files(EXAMPLE / "haystack")
    return image_build.Recipe("Dockerfile", files, below=below)
