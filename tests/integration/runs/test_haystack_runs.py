"""Runs of the worked example in real containers, as users behind the proxy see them."""

import json
import os
import subprocess

import anndata
import docker
import httpx
import pytest

from ci_server.access.auth.iap import ASSERTION_HEADER, IAP_ISSUER
from setup_steps import haystack_image
from setup_steps.paths import EXAMPLES
from support import events
from support.issuer import KeySetServer, from_now, jwk, token
from support.live_server import LiveServer
from support.pages import code_of, page
from support.run_schemas import Runs, in_status

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

QUERY = "How do CD4 T cells respond to interferon-beta?"
AUDIENCE = "/projects/1/global/backendServices/2"
ANN, BOB = "ann@example.com", "bob@example.com"
CATALOGUE = [str(EXAMPLES / "haystack" / "data" / name) for name in ("cells.csv", "synonyms.csv")]
LONG = {"score_threshold": 10, "max_iterations": 10, "random_seed": 3}


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """A server whose users come with the proxy's signed assertions."""
    client = docker.from_env(version="auto")
    haystack_image.ensure(client)
    client.close()
    with (
        KeySetServer(jwk("ES256", "iap", "iap")) as keys,
        LiveServer(
            tmp_path_factory.mktemp("haystack"),
            iap_jwks_url=keys.url,
            iap_audience=AUDIENCE,
            max_memory_mb=2048,
        ) as server,
    ):
        server.start()
        server.admin("catalogue", "import", *CATALOGUE)
        yield server


def asserted(email):
    about = {"iss": IAP_ISSUER, "aud": AUDIENCE, "email": email, "tenant_id": None}
    return {ASSERTION_HEADER: token(kid="iap", name="iap", exp=from_now(3600), **about)}


def stream(server, runs_of, run_id, **options):
    path = f"/api/v1/runs/{run_id}/stream"
    return events.read(server.http, "GET", path, headers=asserted(runs_of), **options)


def scores(log):
    """What a run's iterations were worth, as its log says."""
    lines = [json.loads(line[11:]) for line in log.splitlines() if line.startswith(b"::progress ")]
    return [(line["iteration"], line["score"]) for line in lines if "score" in line]


def test_from_submission_to_a_file_as_two_users(proxied, tmp_path):
    ann, bob = Runs(proxied.http, asserted(ANN)), Runs(proxied.http, asserted(BOB))
    asked = ann.submit(QUERY, random_seed=1)
    run_id = asked["run_id"]
    assert (asked["user_email"], asked["status"]) == (ANN, "pending")
    assert asked["control_strategy_effective"] == "synthetic_control"
    assert asked["control_cells_available"] > 0
    seen = stream(proxied, ANN, run_id)
    run = ann.get(run_id)
    assert run["status"] == "completed", run["error_message"]
    log = httpx.get(
        f"{proxied.url}/jobs/{run['job_id']}/logs",
        headers=asserted(ANN),
        trust_env=False,
        timeout=60,
    ).content
    assert events.logged(seen) == log
    ended = [e.data for e in seen if e.type == "iteration_end"]
    assert [(data["iteration"], data["score"]) for data in ended] == scores(log)
    result = ann.result(run_id)
    assert result["success"] is True
    assert [(one["iteration"], one["score"]) for one in result["iterations"]] == scores(log)
    assert run["current_score"] == scores(log)[-1][1]
    assert result["control_strategy_effective"] == "synthetic_control"
    for name in ("anndata_url", "report_url", "log_url"):
        file = httpx.get(result[name], trust_env=False, timeout=60)
        assert file.status_code == 200, name
        assert file.headers["content-disposition"].startswith("attachment")
        (tmp_path / name).write_bytes(file.content)
    data = anndata.read_h5ad(tmp_path / "anndata_url")
    assert (data.uns["run_id"], data.uns["grounding_score"]) == (run_id, result["grounding_score"])
    assert b"SYNTHETIC" in (tmp_path / "report_url").read_bytes().upper()
    assert ann.page()["runs"][0]["anndata_path"] == f"output/{run_id}_predictions.h5ad"

    assert bob.get(run_id)["user_email"] == ANN  # a colleague may watch, and no more
    assert bob.result(run_id)["iterations"] == result["iterations"]
    assert events.logged(stream(proxied, BOB, run_id)) == log
    assert bob.refused(403, "forbidden", "POST", f"/{run_id}/cancel")
    told = bob.refused(404, "run_not_found", "GET", "/run_000000000000")
    assert told == "Run run_000000000000 not found"
    forged = result["anndata_url"].replace(run_id, "run_000000000000")
    assert httpx.get(forged, trust_env=False, timeout=60).json()["error"]["code"] == "invalid_grant"


def test_a_query_about_nothing_known_fails_with_the_images_words(proxied):
    ann = Runs(proxied.http, asserted(ANN))
    run_id = ann.submit("What is the weather like today?")["run_id"]
    run = in_status(proxied, ann, run_id, "failed")
    assert "weather" in run["error_message"] or "treatment" in run["error_message"]


def test_a_run_whose_server_is_killed_ends_with_the_same_scores(proxied):
    ann = Runs(proxied.http, asserted(ANN))
    whole_id = ann.submit(QUERY, **LONG)["run_id"]
    in_status(proxied, ann, whole_id, "completed")
    run_id = ann.submit(QUERY, **LONG)["run_id"]
    proxied.until(
        lambda: ann.get(run_id),
        lambda run: run["current_iteration"] is not None,
        what="an iteration",
    )
    proxied.kill()
    proxied.start()
    ann = Runs(proxied.http, asserted(ANN))
    in_status(proxied, ann, run_id, "completed")
    killed, whole = ann.result(run_id), ann.result(whole_id)
    assert killed["iterations"] == whole["iterations"]
    assert killed["grounding_score"] == whole["grounding_score"]
    assert ann.get(run_id)["current_score"] == ann.get(whole_id)["current_score"]
    log = events.logged(stream(proxied, ANN, run_id))
    assert scores(log) == scores(events.logged(stream(proxied, ANN, whole_id)))


@pytest.fixture(scope="module")
def local(tmp_path_factory, proxied):
    with LiveServer(tmp_path_factory.mktemp("local"), max_memory_mb=2048) as server:
        yield server.start().ready()


def test_the_flow_of_the_page(local, tmp_path):
    """The commands of docs/runs.md, as they are printed."""
    script = code_of(page("runs.md"), "From submission to result", "sh")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "SERVER": local.url, "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert '"type":"iteration_end"' in done.stdout
    assert '"status":"completed"' in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["success"] is True
    data = anndata.read_h5ad(tmp_path / "predictions.h5ad")
    assert data.uns["run_id"] == result["run_id"]
