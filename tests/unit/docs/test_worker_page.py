"""docs/worker.md against the worker."""

import re
from collections.abc import Mapping

import pytest

from engine.output.run import Changes, Request, run
from engine.parity.golden_set import GOLDEN, to_zip
from engine.service.access import Access
from engine.service.handler import PATHS, WITHOUT_TOKEN
from engine.service.settings import read_settings
from support.workers import CASE, running, samples
from tests.support.pages import code_of, page, words_in_code

PAGE = page("worker.md")
TOKEN = "a-token-of-some-length"


class Asked(Mapping):
    """An environment that notes what is asked of it."""

    def __init__(self, **variables):
        self.variables, self.names = variables, set()

    def __getitem__(self, name):
        self.names.add(name)
        return self.variables[name]

    def __iter__(self):
        return iter(self.variables)

    def __len__(self):
        return len(self.variables)


def test_settings():
    issuer = {"ENGINE_JWT_ISSUER": "https://issuer.example", "ENGINE_JWT_AUDIENCE": "engine"}
    environment = Asked(ENGINE_JWKS_URL="https://issuer.example/keys", **issuer)
    read_settings(environment)
    shown = [words_in_code(row[0])[0] for row in PAGE.rows("Settings")]
    assert len(shown) == len(set(shown))
    assert set(shown) == environment.names


def test_requests():
    rows = PAGE.rows("Requests", "request")
    assert [words_in_code(row[0])[0].split()[1] for row in rows] == [*PATHS]
    assert [row[1] == "no" for row in rows] == [path in WITHOUT_TOKEN for path in PATHS]


def test_fields_of_health():
    with running() as worker:
        health = worker.health()
    (row,) = [row for row in PAGE.rows("Requests", "request") if "/health" in row[0]]
    assert set(words_in_code(row[2])) - {"ok", "draining"} == set(health)


def test_metrics():
    with running(memory=1 << 30) as worker:
        worker.metrics.count_request("/execute", 200)
        worker.metrics.count_model("completed", 0.1)
        found = {re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", key) for key in
                 samples(worker.metrics_text())}  # fmt: skip
    shown = {word for row in PAGE.rows("Metrics") for word in words_in_code(row[0])}
    limits = {"engine_memory_limit_bytes"}  # there, where the container has one
    assert shown - limits == found - limits


@pytest.mark.filterwarnings("error")
def test_the_client():
    namespace = {}
    code = code_of(PAGE, "A client", "python")
    assert len([line for line in code.splitlines() if line]) <= 16
    exec(code, namespace)
    steps = []
    with running(Access(TOKEN)) as worker:
        host, port = worker.server_address[:2]
        url = f"http://{host}:{port}/execute"
        found = namespace["value"](url, to_zip(CASE), TOKEN, steps.append)
        assert found == ("result", run(Request(CASE, Changes())).document)
        assert {step["phase"] for step in steps} == {"load", "scenarios"}
        assert namespace["value"](url, to_zip(GOLDEN), TOKEN, steps.append)[0] == "error"
