"""What all pages of the dashboard have, in a real browser."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from ci_server.access.auth.iap import ASSERTION_HEADER, EMAIL_HEADER, IAP_ISSUER
from support.browser import opened_page
from support.issuer import AUDIENCE, KeySetServer, from_now, jwk, token
from support.live_server import LiveServer


def test_browsers_begin_at_the_list_of_jobs(server, page):
    page.goto(server.url + "/")
    expect(page).to_have_url(server.url + "/ui/")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()


def test_a_colour_scheme_is_kept(server, page):
    page.goto(server.url + "/ui/")
    page.get_by_label("Colours").select_option("dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"


def test_keys_are_listed(server, page):
    page.goto(server.url + "/ui/")
    page.get_by_role("heading", name="Jobs", exact=True).wait_for()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("go to the list of jobs")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).not_to_be_visible()


def test_accessible(server, page):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(server.url + "/ui/")
        page.get_by_role("heading", name="Jobs", exact=True).wait_for()
        found = Axe().run(page).response["violations"]
        assert not [each for each in found if each["impact"] in ("serious", "critical")], found


@pytest.mark.parametrize("path", ["nothing", "models/a/b/c", "jobs/%2F/<b>evil"])
def test_an_unknown_address_is_a_page_that_leads_on(server, browser, path):
    for scheme, viewport in (("light", (1280, 800)), ("dark", (390, 844))):
        size = dict(zip(("width", "height"), viewport, strict=True))
        with opened_page(browser, expected=("404",), viewport=size, color_scheme=scheme) as page:
            answer = page.goto(f"{server.url}/ui/{path}")
            assert (answer.status, "evil" in answer.text()) == (404, False)
            expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
            expect(page.locator("#page")).not_to_contain_text("evil")
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport[0]
            found = Axe().run(page).response["violations"]
            assert not [each for each in found if each["impact"] in ("serious", "critical")], found
            page.get_by_role("link", name="All jobs").click()
            expect(page).to_have_url(f"{server.url}/ui/")


PROXY = {EMAIL_HEADER: "accounts.google.com:ann@example.com"}


def test_who_is_signed_in_by_a_proxy_is_told_to_sign_out_there(tmp_path, browser):
    settings = {"controller": "external", "trusted_proxies": "127.0.0.1", "iap_header": "true"}
    with (
        LiveServer(tmp_path, **settings) as server,
        opened_page(browser, extra_http_headers=PROXY) as page,
    ):
        page.goto(f"{server.start().url}/ui/")
        bar = page.get_by_role("banner")
        expect(bar).to_contain_text("ann@example.com")
        expect(bar).to_contain_text("signed in by a proxy: sign out there")
        expect(bar.get_by_text("Sign out", exact=True)).to_have_count(0)
        page.goto(f"{server.url}/ui/login")
        expect(page).to_have_url(f"{server.url}/ui/")


def test_the_identity_aware_proxy_has_its_own_way_out(tmp_path, browser):
    about = {"iss": IAP_ISSUER, "email": "ann@example.com", "exp": from_now(3600)}
    assertion = token(kid="iap", name="iap", tenant_id=None, **about)
    with (
        KeySetServer(jwk("ES256", "iap", "iap")) as keys,
        LiveServer(
            tmp_path, controller="external", iap_jwks_url=keys.url, iap_audience=AUDIENCE
        ) as server,
        opened_page(browser, extra_http_headers={ASSERTION_HEADER: assertion}) as page,
    ):
        page.goto(f"{server.start().url}/ui/")
        way_out = page.get_by_role("banner").get_by_role("link", name="Sign out")
        expect(way_out).to_have_attribute("href", "/_gcp_iap/clear_login_cookie")
