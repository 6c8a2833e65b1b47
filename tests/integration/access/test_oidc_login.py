"""Signing in with an OpenID Connect issuer: a real server, and a stand-in of an issuer."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from support.cookie_browser import CookieBrowser
from support.live_server import LiveServer
from support.oidc_issuer import CLIENT, SECRET, OidcIssuer

START, CALLBACK = "/session/oidc/start", "/session/oidc/callback"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """An issuer, and a server that knows it; there are no users with keys."""
    directory = tmp_path_factory.mktemp("oidc")
    secret = directory / "secret"
    secret.write_text(f"{SECRET}\n")
    with OidcIssuer() as issuer:
        settings = {
            "controller": "external",
            "oidc_issuer": issuer.url,
            "oidc_client_id": CLIENT,
            "oidc_client_secret_file": secret,
            "oidc_required_claim": "groups=ci-users",
            "oidc_name": "Acme <login>",
        }
        with LiveServer(directory / "server", **settings) as server:
            yield issuer, server.start()


@pytest.fixture
def issuer(shared):
    issuer, _ = shared
    issuer.reset()
    issuer.claims["groups"] = ["all", "ci-users"]
    return issuer


@pytest.fixture
def server(shared, issuer):
    return shared[1]


@pytest.fixture
def browser(server):
    with CookieBrowser(server) as browser:
        yield browser


def answer_of_issuer(browser, **parameters):
    """The address that the issuer sends the browser back to."""
    begun = browser.http.get(START, params=parameters)
    assert begun.status_code == 303, begun.text
    with httpx.Client(
        trust_env=False, timeout=60
    ) as elsewhere:  # the cookies of the server stay where they are
        return elsewhere.get(begun.headers["Location"]).headers["Location"]


def come_back(browser, **parameters):
    """The whole way; the server's page."""
    return browser.http.get(answer_of_issuer(browser, **parameters))


def refused(answer, status, told):
    """A page that says so, and nobody is signed in."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "You are not signed in" in answer.text
    assert told in answer.text
    assert 'href="../../ui/login"' in answer.text
    assert "ci-session" not in str(answer.headers.get_list("Set-Cookie"))


def test_the_issuers_user_is_signed_in_and_comes_to_where_they_were(issuer, server, browser):
    assert browser.code() == "unauthenticated", "an issuer is set up, so nobody is local"
    told = browser.http.get("/session").json()["sign_in"]
    assert told == {"api_key": True, "oidc": {"name": "Acme <login>"}}
    issuer.claims["role"] = "viewer"
    page = come_back(browser, next="/ui/jobs/7?follow=1#L5")
    assert page.status_code == 200, page.text
    assert 'content="0; url=../../ui/jobs/7?follow=1#L5"' in page.text
    strict, removed = page.headers.get_list("Set-Cookie")
    assert re.match(r"ci-session-\w{8}=[\w-]{43}; Path=/; Max-Age=43200; .*SameSite=Strict", strict)
    assert re.match(r"ci-oidc-\w{8}=; Path=/; Max-Age=0; .*SameSite=Lax", removed)
    session = browser.http.get("/session").json()
    named = {name: session[name] for name in ("user", "tenant", "role", "credential", "key")}
    assert named == {
        "user": "ann", "tenant": "acme", "role": "viewer", "credential": "session", "key": None,
    }  # fmt: skip
    assert browser.code() == 200
    assert browser.code("/session", "DELETE") == 204
    assert browser.code() == "unauthenticated"
    (asked,) = issuer.asked
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{server.url}{CALLBACK}"
    assert asked["scope"] == "openid email profile"
    shown = "GET /session/oidc/callback?***"
    log = server.until(server.log_path.read_text, lambda log: shown in log, "the request's line")
    assert asked["state"] not in log


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_tokens_of_either_kind_and_of_rotated_keys_are_known(issuer, browser, algorithm):
    issuer.algorithm = algorithm
    assert come_back(browser).status_code == 200
    issuer.published = [("ES256", "other"), ("RS256", "other")]
    issuer.key_name = "other"
    # The keys are fetched again for a new one, but not more often than every ten seconds.
    page = come_back(browser)
    if page.status_code != 200:
        assert page.status_code == 401
        assert "signature" in page.text


WRONG_TOKENS = {
    "of another attempt": ({"nonce": "other"}, "nonce"),
    "without nonce": ({"nonce": None}, "nonce"),
    "for another client": ({"aud": "other"}, "another audience"),
    "for several, not us": ({"aud": [CLIENT, "other"]}, "azp"),
    "of another party": ({"azp": "other"}, "azp"),
    "expired": ({"exp": 1_600_000_000}, "expired"),
    "without expiry": ({"exp": None}, "lacks a required claim"),
    "of another issuer": ({"iss": "https://other.example"}, "another issuer"),
    "without tenant": ({"tenant_id": None}, "tenant_id"),
    "with a strange role": ({"role": "root"}, "role"),
}


@pytest.mark.parametrize("case", WRONG_TOKENS)
def test_a_token_that_is_not_for_this_sign_in_is_refused(issuer, browser, case):
    changes, told = WRONG_TOKENS[case]
    issuer.claims.update(changes)
    refused(come_back(browser), 401, told)
    assert browser.user() is None


def test_a_forged_token_is_refused(issuer, browser):
    issuer.key_name = "thief"
    answer = come_back(browser)
    refused(answer, 401, "signature")


def test_who_is_not_of_the_group_is_refused(issuer, browser):
    for groups in (None, "all", ["all"], [], {"ci-users": 1}):
        issuer.claims["groups"] = groups
        refused(come_back(browser), 403, "groups=ci-users")


def test_an_answer_counts_once_and_in_the_browser_that_began(issuer, server, browser):
    address = answer_of_issuer(browser)
    with CookieBrowser(server) as victim:
        refused(victim.http.get(address), 401, "has not begun to sign in")
        victim.http.get(START)
        refused(victim.http.get(address), 401, "not for this browser")
    attempt = browser.cookies
    assert browser.http.get(address).status_code == 200
    refused(browser.http.get(address), 401, "already finished")
    with CookieBrowser(server) as thief:
        thief.http.cookies.update(attempt)
        refused(thief.http.get(address), 401, "refuses this code")


def test_what_is_missing_or_twice_or_of_another_issuer_is_refused(issuer, browser):
    issuer.answer_extra = {"iss": "https://mixed-up.example"}
    refused(come_back(browser), 401, "another identity provider")
    issuer.answer_extra = {"iss": issuer.url}
    assert come_back(browser).status_code == 200
    issuer.answer_extra = {"code": None}
    refused(come_back(browser), 401, "no code")
    issuer.answer_extra = {"state": "other"}
    refused(come_back(browser), 401, "not for this browser")
    issuer.answer_extra = {}
    refused(browser.http.get(f"{answer_of_issuer(browser)}&code=x"), 401, "twice")
    issuer.answer_extra = {"code": None, "error": "<script>alert(1)</script>"}
    answer = come_back(browser)
    refused(answer, 403, "&lt;script&gt;alert(1)&lt;/script&gt;")
    assert "<script" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src")


@pytest.mark.parametrize(
    "path", ["https://evil.example/", "//evil.example", "/ui/../jobs", "/jobs"]
)
def test_one_is_led_nowhere_else(issuer, browser, path):
    page = come_back(browser, next=path)
    assert 'content="0; url=../../ui/"' in page.text
    assert "evil" not in page.text


def test_a_client_that_the_issuer_does_not_know_is_told_from_a_user_that_it_refuses(
    issuer, browser
):
    issuer.methods = ["client_secret_post"]
    answer = come_back(browser)
    # What was discovered before stays for ten minutes: the secret is not where it is looked for.
    refused(answer, 503, "does not answer as it should")


@pytest.fixture
def alone(own_server):
    """A server of its own, which has asked its issuer nothing yet."""

    def start(issuer, **settings):
        return own_server(
            controller="external", oidc_issuer=issuer.url, oidc_client_id=CLIENT, **settings
        ).start()

    return start


def test_an_issuer_that_is_down_is_told_and_asked_again(alone):
    with OidcIssuer() as issuer:
        issuer.is_down = True
        server = alone(issuer)
        with CookieBrowser(server) as browser:
            refused(browser.http.get(START), 503, "The identity provider does not answer")
            assert browser.code("/health") == 200
            issuer.is_down = False
            server.until(lambda: browser.http.get(START).status_code == 303, what="the issuer")
            issuer.is_down = True
            begun = browser.http.get(START)
            assert begun.status_code == 303, "what it said before still counts"
            state = parse_qs(urlsplit(begun.headers["Location"]).query)["state"][0]
            back = browser.http.get(CALLBACK, params={"code": "c", "state": state})
            refused(back, 503, "The identity provider does not answer")


def test_a_fixed_tenant_users_by_address_and_a_secret_in_the_form(alone, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with OidcIssuer() as issuer:
        issuer.methods = ["client_secret_post"]
        issuer.claims.update(tenant_id=None, email_verified=True)
        server = alone(
            issuer,
            oidc_client_secret_file=secret,
            oidc_tenant="globex",
            jwt_user_claims="email,sub",
            jwt_default_role="viewer",
            public_url="https://ci.example/below",
        )
        warning = "CI_OIDC_TENANT without CI_OIDC_REQUIRED_CLAIM"
        server.until(lambda: warning in server.log_path.read_text(), what="the warning")
        with CookieBrowser(server) as browser:
            browser.http.headers["Host"] = "ci.example"
            begun = browser.http.get(START)
            assert "; Path=/below/;" in begun.headers["Set-Cookie"]
            assert begun.headers["Set-Cookie"].startswith("__Secure-ci-oidc-")
            attempt = begun.headers["Set-Cookie"].partition(";")[0]
            address = httpx.get(begun.headers["Location"], timeout=60).headers["Location"]
            assert address.startswith("https://ci.example/below/session/oidc/callback?")
            query = urlsplit(address).query
            back = browser.http.get(f"{CALLBACK}?{query}", headers={"Cookie": attempt})
            assert back.status_code == 200, back.text
            session = back.headers["Set-Cookie"].partition(";")[0]
            told = browser.http.get("/session", headers={"Cookie": session}).json()
            assert (told["user"], told["tenant"], told["role"]) == (
                "ann@example.com", "globex", "viewer",
            )  # fmt: skip
            issuer.claims["email_verified"] = False
            begun = browser.http.get(START)
            attempt = begun.headers["Set-Cookie"].partition(";")[0]
            query = urlsplit(
                httpx.get(begun.headers["Location"], timeout=60).headers["Location"]
            ).query
            back = browser.http.get(f"{CALLBACK}?{query}", headers={"Cookie": attempt})
            refused(back, 403, "has not verified your e-mail address")


def test_a_document_of_another_issuer_or_without_https_is_not_used(alone):
    with OidcIssuer() as issuer:
        issuer.document = {"token_endpoint": "http://login.example/token"}
        server = alone(issuer)
        with CookieBrowser(server) as browser:
            refused(browser.http.get(START), 503, "The identity provider")
        server.until(
            lambda: "its token_endpoint is not https" in server.log_path.read_text(), what="the log"
        )


def test_a_server_without_an_issuer_has_no_such_routes(own_server):
    server = own_server(controller="external").start()
    for path in (START, CALLBACK):
        assert server.http.get(path).status_code == 404
