"""A browser signs in with an API key, and everything that may end that, with real servers."""

import json

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ci_common.job import utc_now
from support import projects
from support.administration import succeed
from support.cookie_browser import CookieBrowser
from support.identities import administer, issue_key
from support.live_server import LiveServer

OUTSIDE = {"X-Forwarded-For": "192.0.2.7"}
OVER_HTTPS = {**OUTSIDE, "X-Forwarded-Proto": "https"}
EVIL = "https://evil.example"
LISTED = "https://listed.example"
EVIL_PAGES = [
    {"Sec-Fetch-Site": "cross-site", "Origin": EVIL},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
    {"Sec-Fetch-Site": "", "Origin": EVIL},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Origin": LISTED},
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server behind a proxy on this machine, with a user, and without a controller."""
    settings = {
        "controller": "external",
        "trusted_proxies": "127.0.0.1",
        "iap_header": "false",
        "cors_origins": LISTED,
        "failed_logins_per_minute": 5,
        "max_sessions_per_user": 3,
    }
    with LiveServer(tmp_path_factory.mktemp("sessions"), **settings) as server:
        server.start()
        issue_key(server, "ann@example.com", tenant="acme")
        yield server


@pytest.fixture(scope="module")
def key(guarded):
    return issue_key(guarded, "ann@example.com")


@pytest.fixture
def browser(guarded, key):
    with CookieBrowser(guarded) as browser:
        browser.sign_in(key)
        yield browser


def sessions(server, *options):
    return json.loads(succeed(server, "session", "list", "--json", *options))


def test_a_key_becomes_a_cookie_that_scripts_cannot_read(guarded, key):
    with CookieBrowser(guarded) as browser:
        assert browser.code() == "unauthenticated"
        told = browser.http.get("/session").json()
        assert (told["user"], told["error"]["code"]) == (None, "unauthenticated")
        assert told["sign_in"] == {"api_key": True, "oidc": None}
        answer = browser.sign_in(f" {key}\n")
        assert key not in answer.text
        (name, token), *more = browser.cookies.items()
        assert not more
        assert name == f"ci-session-{guarded.instance_id()[:8]}"
        header = answer.headers["Set-Cookie"]
        assert header.startswith(
            f"{name}={token}; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"
        )
        assert browser.http.get("/whoami").json() == {
            "user": "ann@example.com",
            "tenant": "acme",
            "role": "submitter",
            "credential": "session",
            "key": answer.json()["key"],
        }
        assert browser.http.get("/session").json() == answer.json()
        content = guarded.database.read_bytes()
        journal = guarded.database.with_name(f"{guarded.database.name}-wal")
        assert token.encode() not in content + journal.read_bytes()
        listed = next(
            one for one in sessions(guarded) if one["id"] == answer.json()["session"]["id"]
        )
        assert (listed["user"], listed["state"], listed["agent"]) == (
            "ann@example.com", "live", "Browser/1.0",
        )  # fmt: skip


def test_over_https_the_cookie_is_bound_to_host_and_https(guarded, key):
    with CookieBrowser(guarded, **OVER_HTTPS) as browser:
        header = browser.sign_in(key).headers["Set-Cookie"]
        assert header.startswith("__Host-ci-session-")
        assert header.endswith("; Secure")
        name, _, value = header.partition(";")[0].partition("=")
        planted = name.removeprefix("__Host-")
        for cookie, status in ((name, 200), (planted, 401)):
            headers = {**OVER_HTTPS, "Cookie": f"{cookie}={value}"}
            answer = httpx.get(f"{guarded.url}/jobs", headers=headers, timeout=60)
            assert answer.status_code == status


def test_what_is_no_key_signs_nobody_in(guarded, key):
    with CookieBrowser(guarded) as browser:
        for wrong in ("ci_" + "x" * 43, key[:-1], key + "x", "ci_\u00e9", "eyJ.e30.x", "x"):
            assert (
                browser.code("/session", "POST", json={"api_key": wrong}) == "invalid_credentials"
            )
        for body in ({}, {"api_key": ""}, {"api_key": key, "more": 1}, {"api_key": [key]}, [key]):
            assert browser.code("/session", "POST", json=body) == "invalid_request"
        assert browser.code("/session", "POST", data={"api_key": key}) == "invalid_request"
        assert browser.cookies == {}


def test_guesses_are_throttled_and_who_signs_in_meanwhile_is_let_in(guarded, key):
    known = {"Authorization": f"Bearer {key}"}
    with CookieBrowser(guarded, **OUTSIDE) as browser:
        assert browser.code(headers=known) == 200
        guess = {"json": {"api_key": "ci_" + "x" * 43}}
        codes = [browser.code("/session", "POST", **guess) for _ in range(7)]
        assert codes == ["invalid_credentials"] * 5 + ["too_many_attempts"] * 2
        browser.sign_in(key)
        assert browser.code() == 200


def test_signing_in_again_makes_a_new_token_and_ends_the_old_session(guarded, browser, key):
    ((name, old),) = browser.cookies.items()
    browser.sign_in(key)
    ((_, new),) = browser.cookies.items()
    assert old != new
    with CookieBrowser(guarded) as other:
        other.http.cookies.set(name, old)
        assert other.code() == "invalid_credentials"
    assert browser.code() == 200


def test_a_token_that_somebody_else_chose_does_not_become_the_session(guarded, key):
    with CookieBrowser(guarded) as browser:
        name = f"ci-session-{guarded.instance_id()[:8]}"
        browser.http.cookies.set(name, "chosen", domain="127.0.0.1", path="/")
        browser.sign_in(key)
        assert browser.cookies[name] != "chosen"


def test_signing_out_ends_the_session_for_whoever_has_its_token(guarded, browser):
    ((name, token),) = browser.cookies.items()
    assert browser.code("/session", "DELETE") == 204
    assert browser.cookies == {}
    assert browser.code() == "unauthenticated"
    assert browser.code("/session", "DELETE") == 204
    with CookieBrowser(guarded) as thief:
        thief.http.cookies.set(name, token)
        assert thief.code() == "invalid_credentials"
        assert thief.user() is None


def test_a_key_in_the_request_comes_before_the_cookie(guarded, browser):
    bob = bobs_key(guarded)
    answer = browser.http.get("/whoami", headers={"Authorization": f"Bearer {bob}"})
    assert answer.json()["user"] == "bob@example.com"
    answer = browser.http.get("/whoami", headers={"Authorization": "Bearer ci_wrong"})
    assert answer.status_code == 401


def bobs_key(server):
    return issue_key(server, "bob@example.com", tenant="acme")


@pytest.mark.parametrize("page", EVIL_PAGES, ids=lambda page: page["Origin"])
def test_pages_of_other_origins_can_do_nothing_with_the_cookie(guarded, browser, page):
    """A listed one, too: `CI_CORS_ORIGINS` is for pages that send a key of their own."""
    page = {name: value for name, value in page.items() if value}
    headers = {**browser.http.headers, **page}
    if "Sec-Fetch-Site" not in page:
        del headers["sec-fetch-site"]
    before = guarded.rows()
    with httpx.Client(
        base_url=guarded.url, headers=headers, cookies=browser.cookies, timeout=60
    ) as evil:
        requests = [
            evil.post("/submit-async", **guarded.form(projects.ANY)),
            evil.delete("/session"),
            evil.get("/jobs"),
            evil.get("/events"),
        ]
        assert {answer.status_code for answer in requests} == {403}
        assert {answer.json()["error"]["code"] for answer in requests} == {"cross_origin"}
        assert all("Access-Control-Allow-Credentials" not in each.headers for each in requests)
        assert evil.post("/session", json={"api_key": "ci_x"}).json()["error"]["code"] == (
            "cross_origin"
        )
        assert evil.get("/session").json()["user"] is None
    assert guarded.rows() == before
    assert browser.code() == 200
    with pytest.raises(InvalidStatus) as refused:
        connect(
            f"{guarded.url.replace('http', 'ws')}/jobs/x/stream",
            additional_headers={"Cookie": one_cookie(browser)},
            origin=page["Origin"],
            proxy=None,
        )
    assert refused.value.response.status_code == 403


def one_cookie(browser):
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def test_a_page_of_ours_submits_reads_and_streams(guarded, browser):
    answer = browser.http.post("/submit-async", **guarded.form(projects.ANY))
    assert answer.status_code == 200, answer.text
    job_id = answer.json()["job_id"]
    with browser.http.stream("GET", f"/jobs/{job_id}/stream") as stream:
        assert job_id in next(stream.iter_text())
    with connect(
        f"{guarded.url.replace('http', 'ws')}/jobs/{job_id}/stream",
        additional_headers={"Cookie": one_cookie(browser)},
        origin=guarded.url,
        proxy=None,
    ) as socket:
        assert socket.recv(20)
    assert browser.code(f"/jobs/{job_id}/cancel", "POST") == 202


def test_what_ends_a_key_ends_its_sessions_at_once(guarded):
    async def revoke(rows):
        await rows.revoke((await rows.keys("bob@example.com"))[-1].key_id, utc_now())

    async def disable(rows):
        await rows.disable_user("bob@example.com", utc_now())

    ways = {
        "key revoked": lambda: administer(guarded, revoke),
        "key disabled": lambda: administer(guarded, disable),
        "revoked": lambda: succeed(guarded, "session", "revoke", "--user", "bob@example.com"),
    }
    for state, end in ways.items():
        with CookieBrowser(guarded) as browser:
            browser.sign_in(bobs_key(guarded))
            assert browser.code() == 200
            end()
            answer = browser.http.get("/jobs")
            assert answer.status_code == 401
            error = answer.json()["error"]
            assert error["code"] == "session_ended"
            assert f"({state})" in error["message"]
            assert browser.http.get("/session").json()["error"] == {
                name: error[name] for name in ("code", "message")
            }
            administer(guarded, lambda rows: rows.enable_user("bob@example.com"))
    with CookieBrowser(guarded) as browser:
        browser.sign_in(bobs_key(guarded))
        administer(guarded, lambda rows: rows.delete_user("bob@example.com"))
        assert browser.code() == "invalid_credentials"


def test_operators_see_sessions_and_end_them(guarded, browser):
    session_id = browser.http.get("/session").json()["session"]["id"]
    assert session_id in succeed(guarded, "session", "list", "--user", "ann@example.com")
    assert succeed(guarded, "session", "revoke", session_id) == "1 session is revoked\n"
    assert browser.code() == "session_ended"
    assert session_id not in succeed(guarded, "session", "list")
    (listed,) = (one for one in sessions(guarded, "--all") if one["id"] == session_id)
    assert listed["state"] == "revoked"
    for wrong in (("nope",), (session_id, "--all")):
        done = guarded.admin("session", "revoke", *wrong)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
    told = guarded.execute("SELECT action, target FROM audit")
    assert ("sign_in", session_id) in told
    assert ("session_revoke", f"{session_id} of ann@example.com") in told


def test_a_user_has_so_many_sessions_and_no_more(guarded, key):
    browsers = [CookieBrowser(guarded) for _ in range(4)]
    for browser in browsers:
        browser.sign_in(key)
    assert [browser.user() is not None for browser in browsers] == [False, True, True, True]
    for browser in browsers:
        browser.http.close()


def test_sessions_are_known_to_all_workers_and_after_a_restart(own_server):
    server = own_server(controller="external")
    server.start("--workers", "2")
    with CookieBrowser(server) as browser:
        browser.sign_in(issue_key(server))
        # A connection each, which one of the workers takes.
        assert {browser.code(headers={"Connection": "close"}) for _ in range(20)} == {200}
        cookies = browser.cookies
        server.terminate()
        server.start()
    with CookieBrowser(server) as browser:
        browser.http.cookies.update(cookies)
        assert browser.code() == 200
        succeed(server, "session", "revoke", "--all")
        assert browser.code() == "session_ended"


def test_a_server_without_users_needs_no_session(own_server):
    server = own_server(controller="external").start()
    with CookieBrowser(server) as browser:
        told = browser.http.get("/session").json()
        assert (told["user"], told["credential"], told["session"]) == ("local", "local", None)
        assert told["sign_in"] == {"api_key": False, "oidc": None}
        assert browser.code("/session", "DELETE") == 204
        assert browser.code("/session", "POST", json={"api_key": "ci_x"}) == "invalid_credentials"
        for page in EVIL_PAGES[:4]:
            headers = {name: value for name, value in page.items() if value}
            answer = httpx.post(
                f"{server.url}/submit-async",
                headers=headers,
                **server.form(projects.ANY),
                timeout=60,
            )
            assert answer.json()["error"]["code"] == "not_local"
            assert httpx.get(f"{server.url}/events", headers=headers, timeout=60).status_code == 403
            told = httpx.get(f"{server.url}/session", headers=headers, timeout=60).json()
            assert (told["user"], told["error"]["code"]) == (None, "not_local")
    assert server.rows() == 0
