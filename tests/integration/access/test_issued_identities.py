"""JWTs, the identity-aware proxy and stream tokens at a real server.

No controller runs, unless a test starts one: jobs stay queued, and their streams open.
"""

import json
import subprocess
import sys

import pytest
from websockets.exceptions import InvalidStatus

from support import events, projects
from support.issuer import AUDIENCE, ISSUER, KeySetServer, jwk, token
from support.live_server import ROOT, LiveServer
from support.websocket_client import opened, url_of

EMAIL = "x-goog-authenticated-user-email"
ANN = {EMAIL: "accounts.google.com:ann@example.com"}


@pytest.fixture(scope="module")
def issuer():
    with KeySetServer(jwk("ES256")) as server:
        yield server


def jwt_settings(issuer):
    return {
        "jwt_jwks_url": issuer.url,
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "controller": "external",
    }


@pytest.fixture(scope="module")
def server(issuer, tmp_path_factory):
    place = tmp_path_factory.mktemp("jwt")
    with LiveServer(place, **jwt_settings(issuer)) as server:
        yield server.start()


def bearer(**changes):
    return {"Authorization": f"Bearer {token(**changes)}"}


def submit(server, headers):
    answer = server.http.post(
        "/submit-async", headers=headers, **server.form(projects.ANY, ["true"])
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["job_id"]


def refusal(answer):
    return answer.status_code, answer.json()["error"]["code"]


# ------------------------------------------------------------------ JWTs


def test_tenants_do_not_see_each_other(server):
    ann, bob = bearer(), bearer(tenant_id="other")
    job_id = submit(server, ann)
    assert server.http.get(f"/jobs/{job_id}", headers=ann).json()["tenant"] == "acme"
    assert server.http.get(f"/jobs/{job_id}", headers=ann).json()["user"] == "ann"
    for admin in (bob, bearer(tenant_id="other", role="admin")):
        assert job_id not in server.http.get("/jobs", headers=admin).text
        for method, path in [
            ("GET", ""),
            ("GET", "/stream"),
            ("GET", "/logs"),
            ("GET", "/artifacts"),
            ("GET", "/artifacts/x"),
            ("DELETE", ""),
            ("POST", "/cancel"),
            ("POST", "/token"),
        ]:
            answer = server.http.request(method, f"/jobs/{job_id}{path}", headers=admin)
            assert refusal(answer) == (404, "job_not_found")


def test_roles_are_those_of_the_token(server):
    viewer = bearer(role="viewer", sub="vic")
    job_id = submit(server, bearer())
    assert server.http.get(f"/jobs/{job_id}", headers=viewer).status_code == 200
    assert refusal(server.http.delete(f"/jobs/{job_id}", headers=viewer)) == (403, "forbidden")


def test_without_a_good_token_one_is_nobody(server):
    assert refusal(server.http.get("/jobs")) == (401, "unauthenticated")
    for changes in ({"exp": 1}, {"name": "thief"}, {"iss": "x"}, {"aud": "x"}, {"tenant_id": None}):
        answer = server.http.get("/jobs", headers=bearer(**changes))
        assert refusal(answer) == (401, "invalid_credentials")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    twice = [("Authorization", bearer()["Authorization"])] * 2
    assert refusal(server.http.get("/jobs", headers=twice)) == (401, "invalid_credentials")


# ------------------------------------------------------------------ stream tokens


def lent(server, job_id, headers):
    answer = server.http.post(f"/jobs/{job_id}/token", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["expires_at"].endswith("Z")
    return answer.json()["token"]


def test_a_token_reads_its_job_and_nothing_else(issuer, own_server):
    server = own_server(**jwt_settings(issuer)).start()
    job_id, other = submit(server, bearer()), submit(server, bearer())
    given = {"token": lent(server, job_id, bearer())}
    for path in ("", "/logs", "/artifacts"):
        assert server.http.get(f"/jobs/{job_id}{path}", params=given).status_code == 200
    with events.streaming(server.http, "GET", f"/jobs/{job_id}/stream", params=given) as stream:
        assert next(stream).data["status"] == "queued"
    for path in ("", "/logs", "/stream", "/artifacts"):
        answer = server.http.get(f"/jobs/{other}{path}", params=given)
        assert refusal(answer) == (404, "job_not_found")
    for method, path in [("GET", "/jobs"), ("DELETE", f"/jobs/{job_id}")]:
        assert refusal(server.http.request(method, path, params=given)) == (403, "forbidden")
    for path in (f"/jobs/{job_id}/token", f"/jobs/{job_id}/cancel", "/submit-async"):
        assert refusal(server.http.post(path, params=given)) == (403, "forbidden")


def test_a_token_expires_but_the_websocket_it_opened_goes_on(issuer, own_server):
    server = own_server(**jwt_settings(issuer), stream_token_seconds=4).start()
    job_id = submit(server, bearer())
    url = url_of(server, job_id, token=lent(server, job_id, bearer()))
    with opened(url) as socket:
        assert json.loads(socket.recv(20))["type"] == "connected"
        server.until(lambda: is_refused(url))
        socket.send('{"type":"still there?"}')
        assert json.loads(socket.recv(20))["type"] == "error"


def is_refused(url):
    try:
        with opened(url):
            return False
    except InvalidStatus as error:
        return error.response.status_code == 401


@pytest.mark.docker
def test_a_token_expires_but_the_stream_it_opened_goes_on(issuer, own_server):
    server = own_server(**jwt_settings(issuer), stream_token_seconds=4).start()
    job_id = submit(server, bearer())
    given = {"token": lent(server, job_id, bearer())}
    path = f"/jobs/{job_id}/stream"
    with events.streaming(server.http, "GET", path, params=given) as stream:
        assert next(stream).data["status"] == "queued"
        server.until(
            lambda: server.http.get(f"/jobs/{job_id}", params=given),
            lambda answer: answer.status_code == 401,
        )
        answer = server.http.get(path, params=given)
        assert refusal(answer) == (401, "invalid_credentials")
        assert "expired" in answer.json()["error"]["message"]
        assert server.http.delete(f"/jobs/{job_id}", headers=bearer()).status_code == 202
        server.spawn_controller()
        assert list(stream)[-1].data["status"] == "cancelled"


def test_a_token_is_good_at_every_server_of_the_data_directory(issuer, server, own_server):
    other = own_server(**jwt_settings(issuer), db_path=server.database).start()
    job_id = submit(server, bearer())
    given = {"token": lent(server, job_id, bearer())}
    assert other.http.get(f"/jobs/{job_id}", params=given).status_code == 200


def test_a_key_in_a_url_is_refused_whatever_else_is_sent(server):
    for text in ("ci_0123456789abcdef", token()):
        answer = server.http.get("/jobs", params={"token": text}, headers=bearer())
        assert refusal(answer) == (401, "invalid_credentials")
        assert "Authorization: Bearer" in answer.json()["error"]["message"]


def test_no_token_is_in_the_servers_log(server):
    job_id = submit(server, bearer())
    given = lent(server, job_id, bearer())
    server.http.get(f"/jobs/{job_id}", params={"token": given})
    server.http.get(f"/jobs/{job_id}?a=b&%74oke%6E={given}")
    server.http.get("/jobs?x=1&token=ci_much-too-long-lived")
    server.http.get("/jobs?Token=ci_much-too-long-lived&marker=7")
    log = server.until(server.log_path.read_text, lambda text: "marker=7" in text)
    assert given not in log
    assert given.split(".")[1] not in log
    assert "much-too-long-lived" not in log
    assert f"GET /jobs/{job_id}?token=*** HTTP" in log


def test_the_local_user_may_lend_too(own_server):
    server = own_server(controller="external").start()
    job_id = submit(server, {})
    given = {"token": lent(server, job_id, {})}
    assert server.http.get(f"/jobs/{job_id}", params=given).status_code == 200
    assert server.http.get(f"/jobs/{job_id}").status_code == 200
    assert refusal(server.http.get("/jobs", params={"token": "x"})) == (401, "invalid_credentials")


# ------------------------------------------------------------------ proxies


@pytest.mark.parametrize("options", [(), ("--http", "h11"), ("--no-proxy-headers",)])
def test_a_trusted_proxy_names_the_user_and_nobody_else(own_server, options):
    trusting = own_server("a", controller="external", trusted_proxies="127.0.0.0/8")
    trusting.start(*options)
    job_id = submit(trusting, {**ANN, "X-Forwarded-For": "198.51.100.9"})
    job = trusting.http.get(f"/jobs/{job_id}", headers=ANN).json()
    assert (job["tenant"], job["user"]) == ("local", "ann@example.com")
    assert refusal(trusting.http.get("/jobs")) == (401, "unauthenticated")
    twice = [(EMAIL, ANN[EMAIL]), (EMAIL, "accounts.google.com:bob@example.com")]
    assert refusal(trusting.http.get("/jobs", headers=twice)) == (401, "invalid_credentials")

    # uvicorn takes the word of 127.0.0.1 for an address; the socket knows better.
    wary = own_server("b", controller="external", trusted_proxies="192.0.2.1").start(*options)
    for pretended in ("192.0.2.1", "192.0.2.1, 192.0.2.1", "127.0.0.1"):
        answer = wary.http.get("/jobs", headers={**ANN, "X-Forwarded-For": pretended})
        assert refusal(answer) == (401, "unauthenticated")


def test_where_the_socket_is_hidden_nobody_can_pretend(own_server):
    server = own_server(controller="external", trusted_proxies="192.0.2.1")
    server.start("--log-level", "trace")
    answer = server.http.get("/jobs", headers={**ANN, "X-Forwarded-For": "192.0.2.1"})
    assert refusal(answer) == (401, "unauthenticated")


def test_in_development_this_machine_is_a_developer(own_server):
    server = own_server(
        controller="external", environment={"CI_ENVIRONMENT": "development"}
    ).start()
    job_id = submit(server, {})
    assert server.http.get(f"/jobs/{job_id}").json()["user"] == "dev@example.com"
    for headers in (
        {"X-Forwarded-For": "127.0.0.1"},
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Authorization": "Bearer wrong"},
    ):
        assert server.http.get("/jobs", headers=headers).status_code == 401


# ------------------------------------------------------------------ the start


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"CI_ENVIRONMENT": "development"}, "CI_ENVIRONMENT=development is for this machine only"),
        ({"CI_JWT_JWKS_URL": "https://x.example/k"}, "CI_JWT_ISSUER and CI_JWT_AUDIENCE missing"),
    ],
)
def test_a_server_that_would_be_unsafe_does_not_start(tmp_path, settings, told):
    ended = subprocess.run(
        [sys.executable, "-m", "ci_server", "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
