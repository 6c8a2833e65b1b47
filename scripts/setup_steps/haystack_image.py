"""The image of the worked example of runs: the slim runner image, anndata, the example, its atlas.

Built from `examples/haystack/`, and again when an input or the runner image below it changed.
"""

import docker

from setup_steps import locks, runner_image
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
    with locks.held("haystack-image"):
        files = context_files()
        below = str(client.images.get(base).id)
        wanted = runner_image.inputs_digest(files | {"base": below.encode()})
        if not refresh and runner_image.is_current(client, name, wanted):
            return False
        runner_image.build(client, name, files, {"BASE": base}, wanted, refresh=refresh)
    return True


def context_files() -> dict[str, bytes]:
    """Everything the build reads, by its name in the build context."""
    package = runner_image.package_files(EXAMPLE / "haystack")
    return {"Dockerfile": (EXAMPLE / "Dockerfile").read_bytes()} | package
