"""A model from its submission to its result: real HTTP, WebSocket, engine and container."""

import json

import numpy as np
import pytest

from support import models
from support.issuer import AUDIENCE, ISSUER, KeySetServer, jwk, token
from support.live_server import LiveServer
from support.model_schemas import MESSAGES, STATISTICS, ModelJobs, check
from support.websocket_client import Watched, opened

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server with an issuer, and a client of one of its tenants."""
    with KeySetServer(jwk("RS256")) as issuer:
        settings = {
            "jwt_jwks_url": issuer.url,
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
        }
        with LiveServer(tmp_path_factory.mktemp("stream"), **settings) as server:
            server.start().ready()
            headers = {"authorization": f"Bearer {token('RS256')}"}
            yield server, ModelJobs(server.http, headers), headers


def watched(url):
    """All that the stream has to say, each message as published; no header proves anything."""
    with opened(url, max_size=None) as connection:
        seen = Watched(connection)
    for message in seen.messages:
        if isinstance(message, dict):
            check(MESSAGES[message["type"]], message)
    return seen


def test_a_model_by_the_url_of_its_submission(world):
    server, client, headers = world
    submitted = client.submit(models.zipped(models.GOLDEN_FILES), model_name="Term life")
    seen = watched(f"{submitted['websocketUrl']}&binary=f64")
    assert seen.code == 1000
    assert seen.types[0] == "connected"
    assert seen.types[-1] == "complete"
    initialized = seen.only("initialized")
    assert initialized["nodeCount"] == 6  # the description, and what it names
    assert seen.messages.index(initialized) < seen.messages.index(seen.all("progress")[0])
    statistics, header, *values = seen.binary
    assert statistics.startswith(b"\n")
    found = json.loads(statistics)
    check(STATISTICS, found["statistics"])
    job = client.get(submitted["jobId"])
    assert found == {name: job["resultData"][name] for name in found}
    assert seen.only("complete")["resultHash"] == job["resultData"]["resultHash"]
    assert seen.only("complete")["executionTimeMs"] == job["executionTimeMs"]
    path = f"/jobs/{submitted['jobId']}"
    assert seen.log == server.http.get(f"{path}/logs", headers=headers).content
    stored = server.http.get(f"{path}/artifacts/output/npv.npy", headers=headers).content
    assert header[:4] == b"CINV"
    assert len(header) % 16 == 0
    assert np.frombuffer(b"".join(values), "<f8").tobytes() == stored[-80:]


def test_a_model_that_is_not_valid(world):
    _, client, _ = world
    wrong = models.GOLDEN_FILES["lapse.csv"].replace(b"\n1,", b"\n1,x", 1)
    submitted = client.submit(models.zipped({**models.GOLDEN_FILES, "lapse.csv": wrong}))
    seen = watched(submitted["websocketUrl"])
    end = seen.messages[-1]
    assert (end["type"], end["error"]) == ("error", client.get(submitted["jobId"])["errorMessage"])
    assert end["error"].startswith("lapse.csv, row 2, column ")
    assert seen.binary == []
    assert seen.code == 1000
