"""The page that lists one's own sessions, in a real browser: with two profiles, two sessions."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from support.browser import SECONDS, opened_page
from support.identities import issue_key
from support.live_server import LiveServer

REFUSED = ("401 (Unauthorized)", "Failed to load resource", "net::ERR")
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)
PHONE = {"width": 390, "height": 844}

expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture
def guarded(tmp_path):
    with LiveServer(tmp_path, controller="external") as server:
        yield server.start()


def sign_in(page, server, path, key):
    page.goto(f"{server.url}/ui/{path}")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("banner")).to_contain_text("ann@example.com")


def listed(page, names):
    """Wait until the page lists these browsers, in this order."""
    expect(page.get_by_role("main").get_by_role("listitem").locator("strong")).to_have_text(names)


def is_accessible(page):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        assert not [each for each in found if each["impact"] in ("serious", "critical")], found


def test_one_signs_out_another_browser_and_its_page_says_so(guarded, browser):
    key = issue_key(guarded, "ann@example.com", tenant="acme")
    with (
        opened_page(browser, expected=REFUSED, user_agent=FIREFOX) as page,
        opened_page(browser, expected=REFUSED, user_agent=SAFARI, viewport=PHONE) as other,
    ):
        sign_in(other, guarded, "", key)
        expect(other.locator(".live")).to_have_text("Live")
        sign_in(page, guarded, "?status=failed", key)
        page.get_by_role("banner").get_by_role("link", name="Sessions").click()
        listed(page, ["Firefox on Windows", "Safari on iOS"])
        mine = page.get_by_role("listitem").filter(has_text="Firefox on Windows")
        expect(mine.get_by_text("this one")).to_be_visible()
        expect(page.get_by_text("this one")).to_have_count(1)
        is_accessible(page)

        sign_out = page.get_by_role("button", name="Sign out Safari on iOS")
        sign_out.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("Signed out: Safari on iOS.")
        listed(page, ["Firefox on Windows"])
        expect(page.get_by_role("heading", name="Your sessions")).to_be_focused()
        expect(page.get_by_text("You are signed in nowhere else.")).to_be_visible()
        notice = other.get_by_role("alert").filter(has_text="This page is no longer updated.")
        expect(notice).to_contain_text("Your session has ended (revoked): sign in again.")

        # The other way round, from a page that is open meanwhile.
        sign_in(other, guarded, "sessions", key)
        listed(other, ["Safari on iOS", "Firefox on Windows"])
        assert other.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        is_accessible(other)
        other.get_by_role("button", name="Sign out everywhere else").click()
        listed(other, ["Safari on iOS"])
        page.keyboard.press("Tab")  # to the first button of the list
        expect(page.get_by_role("button", name="Sign out Firefox on Windows")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{guarded.url}/ui/login?next=%2Fui%2Fsessions")
        other.get_by_role("button", name="Sign out Safari on iOS").click()
        expect(other.get_by_label("API key")).to_be_visible()
        assert other.context.cookies() == []


def test_a_list_that_cannot_be_loaded_or_changed_says_so(guarded, browser):
    key = issue_key(guarded, "ann@example.com", tenant="acme")

    def fail(route):
        error = {"code": "database_unavailable", "message": "come back later"}
        route.fulfill(status=503, json={"error": error})

    with (
        opened_page(browser, expected=(*REFUSED, "503")) as page,
        opened_page(browser, expected=REFUSED, user_agent=SAFARI) as other,
    ):
        sign_in(other, guarded, "sessions", key)
        sign_in(page, guarded, "login", key)
        page.route(f"{guarded.url}/sessions", fail)
        page.goto(f"{guarded.url}/ui/sessions")
        expect(page.get_by_role("alert")).to_contain_text("come back later")
        page.unroute(f"{guarded.url}/sessions")
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.get_by_role("listitem")).to_have_count(2)
        page.route(f"{guarded.url}/sessions/*", fail)
        page.get_by_role("button", name="Sign out Safari on iOS").click()
        expect(page.get_by_role("alert")).to_contain_text("come back later")
        expect(page.get_by_role("listitem")).to_have_count(2)
