"""What a crash can leave on the engine besides workloads, which the controller removes itself."""

import contextlib
import time
from collections.abc import Collection, Mapping

import docker
from docker.errors import NotFound

from ci_common.ports.workloads import Leftover
from ci_controller.executors.docker.container import (
    LABEL_INSTANCE,
    LABEL_ROLE,
    ROLE_PROBE,
    ROLE_SETUP,
    epoch_of,
)
from ci_controller.executors.docker.engine import remove_container

_CONTAINER = "installation container"
_IMAGE = "untagged image"


def find_leftovers(
    client: docker.APIClient, instance_id: str, older_than_seconds: float
) -> list[Leftover]:
    """Containers that installed requirements, or tried the engine, for a controller that is gone,
    and images without a name; all of this instance.
    """
    limit = time.time() - older_than_seconds
    instance = f"{LABEL_INSTANCE}={instance_id}"
    labelled = [[instance, f"{LABEL_ROLE}={role}"] for role in (ROLE_SETUP, ROLE_PROBE)]
    containers = [
        Leftover(entry["Id"], _CONTAINER, entry["Names"][0].removeprefix("/"))
        for labels in labelled
        for entry in client.containers(all=True, filters={"label": labels})
        if entry["Created"] <= limit
    ]
    images = [
        Leftover(entry["Id"], _IMAGE, entry["Id"].removeprefix("sha256:")[:12])
        for entry in client.images(filters={"label": instance, "dangling": True})
        if entry["Created"] <= limit
    ]
    return [*containers, *images]


def remove_leftover(client: docker.APIClient, leftover: Leftover) -> None:
    """Remove one; safe to repeat."""
    if leftover.kind != _IMAGE:
        remove_container(client, leftover.id)
        return
    with contextlib.suppress(NotFound):
        client.remove_image(leftover.id)


def remove_abandoned(
    client: docker.APIClient, labels: Mapping[str, str], ours: Collection[str], epoch: int
) -> None:
    """Remove containers with these labels of a controller that was killed: none of `ours`, nor of
    a later epoch, which belong to whoever took over while this one was paused.
    """
    filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
    for entry in client.containers(all=True, filters=filters):
        names = {name.lstrip("/") for name in entry["Names"]}
        if not names.intersection(ours) and epoch_of(entry["Labels"]) <= epoch:
            remove_container(client, entry["Id"])
