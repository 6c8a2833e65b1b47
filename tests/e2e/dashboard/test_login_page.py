"""Signing in to the dashboard, and out, in a real browser."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from support import projects
from support.administration import succeed
from support.browser import Site, answers, opened_page
from support.identities import issue_key
from support.live_server import LiveServer
from support.oidc_issuer import CLIENT, OidcIssuer

REFUSED = ("401 (Unauthorized)",)
"""What a browser reports of requests that are meant to be refused."""


@pytest.fixture(scope="module")
def issuer():
    with OidcIssuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, issuer):
    """A server with users and an issuer, and without a controller."""
    settings = {
        "controller": "external",
        "oidc_issuer": issuer.url,
        "oidc_client_id": CLIENT,
        "oidc_name": "Acme",
    }
    issuer.takes_public_clients = True
    # Another site than the server's 127.0.0.1, as issuers usually are.
    elsewhere = issuer.url.replace("127.0.0.1", "localhost")
    issuer.document = {"authorization_endpoint": f"{elsewhere}/authorize"}
    with LiveServer(tmp_path_factory.mktemp("guarded"), **settings) as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def key(guarded):
    return issue_key(guarded, "ann@example.com", tenant="acme")


@pytest.fixture
def page(browser):
    with opened_page(browser, expected=REFUSED) as page:
        yield page


def sign_in(page, key):
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_one_signs_in_with_a_key_and_comes_back_to_where_one_was(guarded, key, page):
    there = f"{guarded.url}/ui/?status=failed&text=a%20b"
    page.goto(there)
    expect(page).to_have_url(re.compile("/ui/login[?]next="))
    expect(page.get_by_label("API key")).to_be_visible()
    assert not Axe().run(page).response["violations"]
    sign_in(page, "ci_wrong")
    expect(page.get_by_role("alert")).to_contain_text("These credentials are not valid here")
    expect(page.get_by_label("API key")).to_be_focused()
    sign_in(page, key)
    expect(page).to_have_url(there)
    expect(page.get_by_text("ann@example.com")).to_be_visible()
    expect(page.locator(".caller")).to_contain_text("submitter, acme")
    page.reload()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    stored = page.evaluate("document.cookie + JSON.stringify([localStorage, sessionStorage])")
    assert key not in stored
    assert "ci-session" not in stored


def test_one_signs_out_and_the_page_before_shows_nothing(guarded, key, page):
    page.goto(f"{guarded.url}/ui/login")
    sign_in(page, key)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.context.cookies() == []
    page.goto(f"{guarded.url}/ui/")
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_session_that_ends_leads_to_the_login_and_back(guarded, key, page):
    page.goto(f"{guarded.url}/ui/login")
    sign_in(page, key)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    succeed(guarded, "session", "revoke", "--all")
    page.goto(f"{guarded.url}/ui/?text=some-job")
    why = page.get_by_role("status").filter(has_text="session has ended")  # not those of the list
    expect(why).to_have_text("Your session has ended (revoked): sign in again.")
    sign_in(page, key)
    expect(page).to_have_url(f"{guarded.url}/ui/?text=some-job")


def test_a_job_of_another_tenant_is_not_there(guarded, key, browser):
    bearer = {"Authorization": f"Bearer {key}"}
    form = guarded.form(projects.ANY, command=["true"])
    answer = guarded.http.post("/submit-async", headers=bearer, **form)
    there = f"{guarded.url}/ui/jobs/{answer.json()['job_id']}"
    others = issue_key(guarded, "eve@example.com", tenant="other")
    for own_key, shown in ((key, "queued"), (others, "job_not_found")):
        with opened_page(browser, expected=(*REFUSED, "404 (Not Found)")) as page:
            page.goto(there)
            sign_in(page, own_key)
            expect(page).to_have_url(there)
            expect(page.locator("main")).to_contain_text(shown)
            if own_key == others:
                expect(page.locator("main")).not_to_contain_text("ann@example.com")


def test_one_signs_in_with_the_issuer(guarded, issuer, page):
    """The whole way across sites: of the first page after it the cookie is SameSite=Strict."""
    page.goto(f"{guarded.url}/ui/?text=some-job")
    page.get_by_role("link", name="Sign in with Acme").click()
    expect(page).to_have_url(f"{guarded.url}/ui/?text=some-job")
    expect(page.locator(".caller")).to_contain_text("ann submitter, acme")
    (cookie,) = page.context.cookies()
    assert (cookie["sameSite"], cookie["httpOnly"]) == ("Strict", True)


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "javascript:x()"])
def test_one_is_led_nowhere_else(guarded, key, page, wanted):
    page.goto(f"{guarded.url}/ui/login")
    page.goto(f"{guarded.url}/ui/login?next={wanted}")
    sign_in(page, key)
    expect(page).to_have_url(f"{guarded.url}/ui/")


EVIL = """<!doctype html><script>
const BASE = "SERVER";
const all = { credentials: "include", mode: "no-cors" };
const told = (text) => fetch("/told", { method: "POST", body: text });
const form = new FormData();
form.append("file", new Blob(["zip"]), "project.zip");
(async () => {
  for (const [path, options] of [
    ["/jobs", {}],
    ["/submit-async", { method: "POST", body: form }],
    ["/session", { method: "POST", body: '{"api_key": "x"}' }],
  ]) await fetch(BASE + path, { ...all, ...options }).catch(() => {});
  const leave = { method: "DELETE", credentials: "include" };
  await fetch(BASE + "/session", leave).catch(() => {});
  const events = new EventSource(BASE + "/events?stored=true", { withCredentials: true });
  events.onmessage = () => told("events");
  events.onerror = () => told("no events");
})();
</script>"""


def test_a_page_of_another_port_can_do_nothing_for_whom_is_signed_in(guarded, key, browser):
    """It is the same site, so the cookie is sent: SameSite alone would not help."""
    expected = (
        *REFUSED,
        "404 (Not Found)",
        "CORS policy",
        "net::ERR",
    )  # 404: of the other page's icon
    before = guarded.rows()
    with (
        Site(EVIL.replace("SERVER", guarded.url)) as site,
        opened_page(browser, expected=expected) as page,
    ):
        page.goto(f"{guarded.url}/ui/login")
        sign_in(page, key)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.goto(f"http://127.0.0.1:{site.port}/")
        guarded.until(lambda: site.told, what="the page's report")
        assert site.told[0] == "no events"
        tried = {"GET /jobs", "POST /submit-async", "GET /events?stored=true"}
        guarded.until(
            lambda: [answers(guarded).get(request, [0])[-1] for request in tried],
            lambda last: last == [403] * len(tried),
            what="refusals in the log",
        )
        assert guarded.rows() == before
        page.goto(f"{guarded.url}/ui/")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
