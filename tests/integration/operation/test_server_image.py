"""The server in a container, as deploy/docker/compose.yaml starts it; its jobs are next to it."""

import uuid
from contextlib import suppress

import docker
import httpx
import pytest
import yaml

from setup_steps import server_image
from setup_steps.paths import ROOT
from support.archives import zip_bytes
from support.engine import remove_everything_of
from support.engine_option import is_chosen
from support.waiting import until_sync

pytestmark = pytest.mark.docker

SERVICE = yaml.safe_load((ROOT / "deploy/docker/compose.yaml").read_text())["services"]["server"]
USER = ("--email", "ann@example.com", "--name", "Ann")


@pytest.fixture(scope="module")
def client(request):
    if is_chosen(request.config):
        pytest.skip("the server's image is tested on the machine's own engine")
    found = docker.from_env(timeout=600)
    server_image.ensure(found)
    yield found
    found.close()


@pytest.fixture
def volumes(client):
    """The volumes of the service; its data in a volume of the test's own."""
    name = f"ci-runner-test-{uuid.uuid4().hex[:8]}"
    named = [volume.replace("data:", f"{name}:", 1) for volume in SERVICE["volumes"]]
    yield named
    client.volumes.get(name).remove(force=True)


def start(client, volumes, command=None, **options):
    """What `docker compose up` does; with a command, `docker compose run`."""
    assert SERVICE["image"] == server_image.DEFAULT_NAME
    return client.containers.run(
        SERVICE["image"],
        command,
        environment={**SERVICE["environment"], "CI_CONTAINER_PREFIX": f"t{uuid.uuid4().hex[:8]}-"},
        volumes=volumes,
        **options,
    )


def run(client, volumes, *command):
    return start(client, volumes, list(command), remove=True).decode().strip()


def test_a_job_is_run_by_a_server_in_a_container(client, volumes):
    with pytest.raises(docker.errors.ContainerError, match="refusing to listen"):
        start(client, volumes, remove=True, stderr=True)
    run(client, volumes, "ci-admin", "user", "create", *USER)
    key = run(client, volumes, "ci-admin", "key", "create", *USER[:2], "--name", "a key")
    host_port = {"8000/tcp": ("127.0.0.1", None)}
    container = start(client, volumes, detach=True, ports=host_port)
    try:
        instance = begin_and_run_a_job(container, key)
    finally:
        container.stop(timeout=10)
        code = container.wait()["StatusCode"]
        said = container.logs().decode()
        container.remove(force=True, v=True)
    remove_everything_of(instance)
    assert code == 0, said


def test_the_image_does_not_keep_the_url_of_a_package_index(client):
    """Which may have a password in it, and images are pushed to registries."""
    steps = client.images.get(SERVICE["image"]).history()
    assert "/opt/ci-runner" in str(steps)
    assert "PIP_INDEX_URL" not in str(steps)


def begin_and_run_a_job(container, key):
    """The id of the instance, once a job has run."""
    container.reload()
    port = container.ports["8000/tcp"][0]["HostPort"]
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, trust_env=False
    ) as http:
        until_sync(lambda: is_ready(http), bool, "the server in its container", 90)
        health = container.client.api.inspect_container(container.id)["State"]["Health"]["Status"]
        assert health in ("starting", "healthy")
        files = {"file": ("p.zip", zip_bytes({"a.txt": b"from a container\n"}))}
        spec = {"spec": '{"command": ["cat", "a.txt"]}'}
        answer = http.post("/submit-async", files=files, data=spec)
        assert answer.status_code == 200, answer.text
        job_id = answer.json()["job_id"]
        ended = until_sync(
            lambda: http.get(f"/jobs/{job_id}").json(),
            lambda job: job["status"] in ("completed", "failed"),
            "the job's end",
            120,
        )
        assert ended["success"], ended
        assert http.get(f"/jobs/{job_id}/logs").content == b"from a container\n"
    found = container.exec_run(
        ["python", "-c", "import sqlite3; print(sqlite3.connect('ci.db')"
         ".execute('SELECT instance_id FROM instance').fetchone()[0])"]
    )  # fmt: skip
    return found.output.decode().strip()


def is_ready(http):
    with suppress(httpx.TransportError):
        return http.get("/ready").status_code == 200
    return False
