"""The worker's image, run by a real engine with the limits of its Kubernetes manifest."""

import http.client
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import docker
import pytest

from engine.output.run import Changes, Request, run
from engine.parity.places import Comparison
from engine.parity.remote import Remote, compare_worker
from setup_steps import worker_image
from setup_steps.paths import EXAMPLES
from support.engine_option import is_chosen
from support.waiting import until_sync

pytestmark = pytest.mark.docker

IMAGE = worker_image.DEFAULT_NAME
LABEL = "ci-runner.test-worker"
TOKEN = "a-token-of-some-length"
GIB, MIB = 1 << 30, 1 << 20
WITH_HOOKS = [
    *("python", "-I", "-m", "engine", "serve", "--host", "0.0.0.0", "--allow-hooks")
]  # fmt: skip
ENDLESS = """
def adjust_lapse(policies, year, lives, rates):
    while True:
        pass
"""
SHARED_MEMORY = """
import mmap

def adjust_lapse(policies, year, lives, rates):
    # What is shared is bounded by the container only.
    block = mmap.mmap(-1, 1 << 31)
    for place in range(0, 1 << 31, mmap.PAGESIZE):
        block[place] = 1
"""
TERM_LIFE = EXAMPLES / "term_life"


@pytest.fixture(scope="session")
def client(request):
    if is_chosen(request.config):
        pytest.skip("the worker's image is tested on the machine's own engine")
    found = docker.from_env(timeout=600)
    worker_image.ensure(found)
    yield found
    found.close()


@pytest.fixture
def start(client):
    containers = []

    def begin(command=None, memory=4 * GIB, **environment):
        container = client.containers.create(
            IMAGE,
            command,
            environment=environment,
            labels=[LABEL],
            nano_cpus=2_000_000_000,
            mem_limit=memory,
            memswap_limit=memory,
            read_only=True,
            tmpfs={"/tmp": "size=1g"},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        containers.append(container)
        container.start()
        return Running(container)

    yield begin
    for container in containers:
        container.remove(force=True)


class Running:
    """A worker in a container."""

    def __init__(self, container):
        self.container = container
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"]
        self.host = networks["bridge"]["IPAddress"]
        until_sync(self.answers, what="the worker's first answer")

    @property
    def url(self):
        return f"http://{self.host}:3000"

    def answers(self):
        try:
            return self.ask("GET", "/health")[0] == 200
        except OSError:
            return False

    @contextmanager
    def answer(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.host, 3000, timeout=120)
        try:
            connection.request(method, path, body, {"Content-Type": "application/zip"} | headers)
            yield connection.getresponse()
        finally:
            connection.close()

    def ask(self, method, path, body=None, **headers):
        with self.answer(method, path, body, **headers) as answer:
            return answer.status, json.loads(answer.read())


def package(hooks=None, policies=None):
    """examples/term_life as a zip, with other policies, or with hooks."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(TERM_LIFE.glob("*.csv")):
            if path.name != "policies.csv" or policies is None:
                archive.write(path, path.name)
        if policies is not None:
            archive.writestr("policies.csv", policies)
        text = (TERM_LIFE / "model.toml").read_text()
        archive.writestr("model.toml", f'hooks = "hooks.py"\n{text}' if hooks else text)
        if hooks:
            archive.writestr("hooks.py", hooks)
    return buffer.getvalue()


def events_of(answer):
    """Names and contents of events, as they come."""
    for line in iter(answer.readline, b""):
        if line.startswith(b"event: "):
            yield line[7:].decode().strip(), json.loads(answer.readline()[6:])


def test_the_image_does_not_keep_the_url_of_a_package_index(client):
    """Which may have a password in it, and images are pushed to registries."""
    steps = client.images.get(IMAGE).history()
    assert "/opt/venv" in str(steps)
    assert "PIP_INDEX_URL" not in str(steps)


def test_the_image_gives_what_the_desk_gives(start):
    worker = start(ENGINE_TOKEN=TOKEN)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    _, health = worker.ask("GET", "/health")
    assert health["memory_limit_bytes"] == 4 * GIB
    assert health["model_memory_limit_bytes"] == 3584 * MIB
    assert health["capabilities"]["threads"]["cpu_quota"] == 2.0
    assert worker.ask("GET", "/ready") == (200, {"status": "ready"})
    status, capabilities = worker.ask("GET", "/capabilities", **bearer)
    assert (status, capabilities["parity"], capabilities["failed"]) == (200, "pass", [])

    expected = run(Request(TERM_LIFE, Changes())).document
    assert expected["policy_count"] == 10_000
    body = package()
    with worker.answer("POST", "/execute", body, Accept="text/event-stream", **bearer) as answer:
        *steps, (name, result) = events_of(answer)
    assert (name, result) == ("result", expected)
    assert {step["phase"] for _, step in steps} == {"load", "scenarios"}
    assert worker.ask("POST", "/execute", body, **bearer) == (200, expected)

    for wrong in ({}, {"Authorization": f"Bearer {TOKEN}x"}):
        status, refused = worker.ask("POST", "/execute", body, **wrong)
        assert (status, refused["error"]["code"]) == (401, "unauthorized")


def test_the_image_has_no_rights_and_says_that_it_is_healthy(start, client):
    worker = start()
    config = client.images.get(IMAGE).attrs["Config"]
    assert config["User"] == "1000:1000"
    assert config["ExposedPorts"] == {"3000/tcp": {}}
    found = worker.container.exec_run(["id", "-u"])
    assert found.output == b"1000\n"
    owned = worker.container.exec_run(["find", "/opt", "!", "-user", "root"])
    assert owned.output == b""

    def health():
        worker.container.reload()
        return worker.container.attrs["State"]["Health"]["Status"]

    until_sync(health, lambda status: status == "healthy", what="the health check")


def test_parity_with_the_image(start):
    worker = start()
    found = [*compare_worker(Remote(worker.url))]
    assert len(found) == 8
    assert [place for place in found if place != Comparison(place.place)] == []


def test_a_model_that_reaches_its_memory(start):
    worker = start(MAX_MEMORY_MB="192")
    rows = "".join(f"{n},40,M,100000,500,20,Term\n" for n in range(3_000_000))
    header = "policy_id,age,gender,sum_assured,premium,term,product_type\n"
    status, answer = worker.ask("POST", "/execute", package(policies=header + rows))
    assert (status, answer["error"]["code"]) == (422, "memory_limit")
    assert "192 MiB" in answer["error"]["message"]
    assert worker.ask("POST", "/execute", package())[0] == 200


def test_a_model_that_the_kernel_ends(start):
    """It takes memory of a kind that is not bounded: it is ended, and the worker lives."""
    worker = start(WITH_HOOKS, memory=400 * MIB)
    status, answer = worker.ask("POST", "/execute", package(SHARED_MEMORY))
    assert (status, answer["error"]["code"]) == (422, "memory_limit")
    assert worker.ask("POST", "/execute", package())[0] == 200
    worker.container.reload()
    assert worker.container.attrs["RestartCount"] == 0


def test_sigterm_in_mid_model(start):
    worker = start(WITH_HOOKS, ENGINE_GRACE_SECONDS="1")
    with worker.answer("POST", "/execute", package(ENDLESS), Accept="text/event-stream") as answer:
        events = events_of(answer)
        assert next(events)[0] == "progress"
        worker.container.kill("SIGTERM")
        *_, (name, last) = events
    assert (name, last["error"]["code"]) == ("error", "service_unavailable")
    assert "send it again" in last["error"]["message"]
    assert worker.container.wait(timeout=60)["StatusCode"] == 0


def test_fifty_at_once(start):
    worker = start(WITH_HOOKS)
    body = package()

    def send(_):
        with worker.answer("POST", "/execute", body) as answer:
            return answer.status, answer.headers["Retry-After"]

    with worker.answer("POST", "/execute", package(ENDLESS), Accept="text/event-stream") as answer:
        assert next(events_of(answer))[0] == "progress"
        with ThreadPoolExecutor(50) as pool:
            assert {*pool.map(send, range(50))} == {(503, "1")}
    until_sync(lambda: not worker.ask("GET", "/health")[1]["running"])
    assert worker.ask("POST", "/execute", body)[0] == 200
