"""What all pages of the dashboard have, in a real browser."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect


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
