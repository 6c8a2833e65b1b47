"""Users see where they are signed in, and sign out there, with a real server."""

import json
from datetime import datetime, timedelta

import httpx
import pytest

from ci_common.principal import Role
from support import projects
from support.cookie_browser import CookieBrowser
from support.identities import issue_key
from support.issuer import AUDIENCE, ISSUER, KeySetServer, from_now, jwk, token
from support.live_server import LiveServer

ANN, BOB, EVE = "ann@example.com", "bob@example.com", "eve@example.com"
NAMES = {
    *("id", "current", "role", "begun_at", "used_at", "ends_at", "idle_ends_at"),
    *("address", "agent"),
}
NOT_FOUND = (404, "session_not_found")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with API keys and JWTs, and without a controller."""
    with (
        KeySetServer(jwk("ES256")) as issuer,
        LiveServer(
            tmp_path_factory.mktemp("own"),
            controller="external",
            jwt_jwks_url=issuer.url,
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
        ) as server,
    ):
        yield server.start()


@pytest.fixture
def keys(guarded):
    """A key of each user; without sessions so far."""
    found = {user: issue_key(guarded, user, tenant="acme") for user in (ANN, BOB)}
    found[EVE] = issue_key(guarded, EVE, tenant="globex", role=Role.ADMIN)
    guarded.execute("DELETE FROM sessions")
    return found


@pytest.fixture
def signed_in(guarded, keys):
    """A function that makes a browser with a session."""
    made = []

    def sign_in(user=ANN, agent="Browser/1.0"):
        browser = CookieBrowser(guarded, **{"User-Agent": agent})
        browser.sign_in(keys[user])
        made.append(browser)
        return browser

    yield sign_in
    for browser in made:
        browser.http.close()


def bearer(proof):
    return {"Authorization": f"Bearer {proof}"}


def own(http, **options):
    answer = http.get("/sessions", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def outcome(answer):
    return answer.status_code, answer.status_code >= 400 and answer.json()["error"]["code"]


def test_users_see_their_own_sessions_and_no_secrets(guarded, signed_in):
    phone, desk, others = signed_in(agent="Phone"), signed_in(agent="Desk"), signed_in(BOB)
    answer = desk.http.get("/sessions")
    here, there = answer.json()
    assert NAMES == set(here) == set(there)
    assert (here["agent"], here["current"], there["agent"], there["current"]) == (
        "Desk", True, "Phone", False,
    )  # fmt: skip
    assert (here["role"], here["address"]) == ("submitter", "127.0.0.1")
    assert here["id"] == desk.http.get("/session").json()["session"]["id"]
    begun, used, idle, end = (
        datetime.fromisoformat(here[name])
        for name in ("begun_at", "used_at", "idle_ends_at", "ends_at")
    )
    assert end - begun == timedelta(days=7)
    assert idle - used == timedelta(hours=12)
    for browser in (phone, desk):
        (secret,) = browser.cookies.values()
        assert secret not in answer.text
    for (digest,) in guarded.execute("SELECT sha256 FROM sessions"):
        assert digest not in answer.text
    assert [one["current"] for one in own(others.http)] == [True]
    guarded.execute("UPDATE sessions SET ends_at = begun_at WHERE agent = 'Phone'")
    assert [one["agent"] for one in own(desk.http)] == ["Desk"]


def test_a_browser_is_signed_out_from_another_one(guarded, signed_in):
    phone, desk = signed_in(agent="Phone"), signed_in(agent="Desk")
    here, there = own(desk.http)
    path = f"/sessions/{there['id']}"
    assert desk.http.delete(path).status_code == 204
    assert phone.code() == "session_ended"
    told = phone.http.get("/session").json()
    assert (told["user"], told["error"]["code"]) == (None, "session_ended")
    assert outcome(desk.http.delete(path)) == NOT_FOUND, "it has ended already"
    entries = guarded.execute("SELECT user, credential, address FROM audit WHERE target = ? AND "
                              "action = 'sign_out'", there["id"])  # fmt: skip
    ((user, credential, address),) = entries
    assert (user, address) == (ANN, "127.0.0.1")
    assert credential.startswith(f"session:{here['id']}")

    assert desk.http.delete(f"/sessions/{here['id']}").status_code == 204
    assert desk.cookies == {}
    assert desk.code() == "unauthenticated"


def test_a_user_signs_out_everywhere_else(guarded, signed_in, keys):
    browsers = [signed_in() for _ in range(4)]
    others = signed_in(BOB)
    here = browsers[2]
    assert here.http.delete("/sessions").json() == {"ended": 3}
    assert [browser.code() for browser in browsers] == [
        "session_ended", "session_ended", 200, "session_ended",
    ]  # fmt: skip
    assert here.http.delete("/sessions").json() == {"ended": 0}
    assert [one["current"] for one in own(here.http)] == [True]
    assert others.code() == 200


def test_sessions_of_others_are_not_there(signed_in):
    """Also for an admin of another tenant; and a refusal does not tell them from no sessions."""
    ann, bob, eve = (signed_in(user) for user in (ANN, BOB, EVE))
    (of_bob,) = own(bob.http)
    for browser in (ann, eve):
        texts = set()
        for session_id in (of_bob["id"], "0123456789ab", f"{of_bob['id']}'--", "%00", "%2e%2e"):
            answer = browser.http.delete(f"/sessions/{session_id}")
            assert outcome(answer) == NOT_FOUND
            texts.add(json.dumps(answer.json()["error"]["message"]))
        assert len(texts) == 1
        assert browser.http.delete("/sessions").json() == {"ended": 0}
    assert bob.code() == 200


def test_keys_and_tokens_are_for_the_sessions_of_their_user(guarded, signed_in, keys):
    ann, bob = signed_in(), signed_in(BOB)
    viewing = issue_key(guarded, ANN, role=Role.VIEWER)
    jwt = token(sub=ANN, tenant_id="acme", role="viewer", exp=from_now(3600))
    namesake = token(sub=ANN, tenant_id="globex", role="admin", exp=from_now(3600))
    for proof in (keys[ANN], viewing, jwt):
        (found,) = own(guarded.http, headers=bearer(proof))
        assert (found["current"], found["id"]) == (False, own(ann.http)[0]["id"])
    assert own(guarded.http, headers=bearer(namesake)) == []
    path = f"/sessions/{found['id']}"
    assert outcome(guarded.http.delete(path, headers=bearer(namesake))) == NOT_FOUND
    # What comes before the cookie counts: this is Bob's request, in Ann's browser.
    assert own(ann.http, headers=bearer(keys[BOB]))[0]["current"] is False
    assert ann.code() == 200

    job = guarded.http.post(
        "/submit-async", headers=bearer(keys[ANN]), **guarded.form(projects.ANY)
    ).json()["job_id"]
    lent = guarded.http.post(f"/jobs/{job}/token", headers=bearer(keys[ANN])).json()["token"]
    for method in ("GET", "DELETE"):
        answer = guarded.http.request(method, "/sessions", params={"token": lent})
        assert outcome(answer) == (403, "forbidden")
        assert outcome(guarded.http.request(method, "/sessions")) == (401, "unauthenticated")

    assert guarded.http.delete("/sessions", headers=bearer(viewing)).json() == {"ended": 1}
    assert ann.code() == "session_ended"
    assert bob.code() == 200


def test_pages_of_other_origins_sign_nobody_out(guarded, signed_in):
    ann, other = signed_in(), signed_in()
    there = own(ann.http)[1]["id"]
    evil = {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}
    with httpx.Client(
        base_url=guarded.url, cookies=ann.cookies, trust_env=False, timeout=60
    ) as http:
        for headers in (evil, {}):  # the second says nothing of where it comes from
            for path in ("/sessions", f"/sessions/{there}"):
                assert outcome(http.delete(path, headers=headers)) == (403, "cross_origin")
    assert other.code() == 200


def test_a_server_without_users_has_no_sessions(own_server):
    server = own_server(controller="external").start()
    assert own(server.http) == []
    assert server.http.delete("/sessions").json() == {"ended": 0}
    assert outcome(server.http.delete("/sessions/0123456789ab")) == NOT_FOUND
