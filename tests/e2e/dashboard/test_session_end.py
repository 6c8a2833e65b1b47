"""A session that ends under pages that are open, in a real browser."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from support import engine, projects
from support.administration import succeed
from support.browser import opened_page
from support.identities import issue_key
from support.log_page import open_job, row, state_is

pytestmark = pytest.mark.docker

REFUSED = ("401 (Unauthorized)", "Failed to load resource")
DAY_MS = 24 * 3600 * 1000


def authorized(server, key):
    server.http.headers["Authorization"] = f"Bearer {key}"
    return server


def sign_in(page, key):
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def told(page, reason):
    """Wait until the page says that the session has ended, and look at what else it says."""
    notice = page.get_by_role("alert").filter(has_text="This page is no longer updated.")
    expect(notice).to_contain_text(f"Your session has ended ({reason}): sign in again.")
    expect(page.locator(".live")).to_have_count(0)
    expect(page.get_by_text("Reconnecting")).to_have_count(0)
    expect(page.get_by_role("button", name="Following")).to_have_count(0)
    for action in ("Sign out", "Submit", "Cancel", "Run"):
        expect(page.get_by_role("button", name=action)).to_have_count(0)
    return notice


def is_quiet(page):
    """The page asks for nothing, whatever it has been waiting for."""
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.clock.fast_forward(DAY_MS)
    page.keyboard.press("End")
    page.evaluate("new Promise((done) => setTimeout(done))")
    assert requests == []


def test_open_pages_say_that_the_session_has_ended_and_lead_back(own_server, browser):
    server = own_server().start().ready()
    key = issue_key(server, "ann@example.com", tenant="acme")
    authorized(server, key)
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting")
    with opened_page(browser, expected=REFUSED) as page:
        page.clock.install()
        page.goto(f"{server.url}/ui/?status=running")
        sign_in(page, key)
        expect(page.locator(".live")).to_have_text("Live")
        expect(page.locator(".job")).to_have_count(1)
        shown = page.context.new_page()
        shown.clock.install()
        open_job(shown, server, job_id, "#o0")
        state_is(shown, "● running")
        expect(row(shown, "waiting")).to_be_visible()

        succeed(server, "session", "revoke", "--all")
        other = server.submit(projects.ANY, projects.WAITING)  # the list asks for it
        notice = told(page, "revoked")
        expect(page.locator(".job")).to_have_count(1)
        server.kill()
        authorized(server.start().ready(), key)
        told(shown, "revoked")
        expect(row(shown, "waiting")).to_be_visible()
        for each in (page, shown):
            is_quiet(each)
            serious = [found["id"] for found in Axe().run(each).response["violations"]]
            assert not serious

        notice.get_by_role("link", name="Sign in").click()
        expect(page.get_by_role("status")).to_have_text(
            "Your session has ended (revoked): sign in again."
        )
        sign_in(page, key)
        expect(page).to_have_url(f"{server.url}/ui/?status=running")
        expect(page.locator(".live")).to_have_text("Live")
        shown.get_by_role("alert").get_by_role("link", name="Sign in").click()
        expect(shown).to_have_url(f"{server.url}/ui/jobs/{job_id}#o0")
        expect(shown.locator(".row.selected")).to_have_text(re.compile("waiting"))

        server.execute("UPDATE sessions SET ends_at = '2026-01-01T00:00:00.000000Z'")
        shown.clock.fast_forward(30 * DAY_MS)
        told(shown, "expired")
        engine.release(server, job_id)
        server.finished(job_id)
        state_is(shown, "● running")  # what it knew last
    server.http.delete(f"/jobs/{other}")
    server.finished(other)
