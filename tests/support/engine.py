"""The Docker engine, looked at past the product."""

import io
import os
import tarfile
from contextlib import contextmanager

import docker
from docker.errors import APIError, DockerException, NotFound

LABEL_INSTANCE = "ci-runner.instance"
LABEL_JOB = "ci-runner.job"


@contextmanager
def engine():
    """A client of the engine, for one test."""
    client = docker.from_env(version="auto")
    try:
        yield client
    finally:
        client.close()


def socket_path():
    """The unix socket of the engine; None when it is elsewhere."""
    host = os.environ.get("DOCKER_HOST") or docker.constants.DEFAULT_UNIX_SOCKET
    for scheme in ("http+unix://", "unix://"):
        if host.startswith(scheme):
            return "/" + host.removeprefix(scheme).lstrip("/")
    return None


def containers_of(server):
    """All containers of a server, by job id."""
    label = f"{LABEL_INSTANCE}={server.instance_id()}"
    with engine() as client:
        found = client.api.containers(all=True, filters={"label": label})
    return {entry["Labels"].get(LABEL_JOB): entry for entry in found}


def names_of(server):
    """The names of a server's containers."""
    return {
        name.removeprefix("/")
        for entry in containers_of(server).values()
        for name in entry["Names"]
    }


def release(server, job_id, name="go"):
    """Let a job of `projects.WAITING` go on, or another that waits for a file of this name.

    Not with a command in the container: that would be killed when the job ends at once.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with engine() as client:
        name = f"{server.prefix}{job_id}"
        assert client.api.put_archive(name, "/workspace", content.getvalue())


def remove_everything_of(instance_id):
    """Remove the containers and images of an instance."""
    label = {"label": f"{LABEL_INSTANCE}={instance_id}"}
    try:
        with engine() as client:
            for entry in client.api.containers(all=True, filters=label):
                _quietly(client.api.remove_container, entry["Id"], force=True, v=True)
            for image in client.api.images(filters=label):
                _quietly(client.api.remove_image, image["Id"], force=True)
    except DockerException:
        return  # tests without an engine leave nothing on it


def _quietly(remove, *arguments, **options):
    try:
        remove(*arguments, **options)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # a removal is under way already
            raise
