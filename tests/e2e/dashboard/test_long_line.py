"""A line of 10 MB on the page of a job, in a real browser."""

import hashlib
import re

import pytest
from playwright.sync_api import expect

from support import projects
from support.browser import opened_page
from support.large_log import cost_of
from support.log_page import open_job, row

pytestmark = pytest.mark.docker

WRITE = r"""
import sys
write = sys.stdout.buffer.write
blocks = b"".join(b"\x1b[3%dm" % (each % 8) + b"0123456789abcdef" * 64 for each in range(8))
rainbow = b"".join(b"\x1b[38;5;%dmx" % (17 + each % 200) for each in range(900))
for number in range(1, 51):
    write(b"before %d\n" % number)
write(b"BEGIN ")
for part in range(610):
    write(blocks)
write(b"the needle in it")
for part in range(530):
    write(rainbow)
write(b" END\x1b[0m\n")
for number in range(1, 51):
    write(b"after %d\n" % number)
"""
MOST_NODES = 30_000
WIDEST = 4000

SEEN = """() => {
    const texts = [...document.querySelectorAll(".row .text")];
    return Math.max(...texts.map((each) => each.textContent.length));
}"""
COPIED = """async () => {
    let text = "";
    while (!(text = await navigator.clipboard.readText())) await new Promise(requestAnimationFrame);
    const bytes = new TextEncoder().encode(text);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return [...digest].map((each) => each.toString(16).padStart(2, "0")).join("");
}"""


def is_bounded(page):
    cost = cost_of(page)
    assert cost.nodes < MOST_NODES
    assert cost.heap_mb < 50
    assert page.evaluate(SEEN) <= WIDEST


def numbered(page, text, number):
    shown = row(page, re.compile(f"{text}$"))
    expect(shown).to_be_visible()
    expect(shown.locator(".number")).to_have_text(f"{number}")


def test_a_line_of_10_mb_is_shown_in_pieces_searched_and_copied_whole(server, browser):
    job_id = server.submit(projects.ANY, projects.python(WRITE))
    server.finished(job_id)
    log = server.log(job_id)
    line = next(each for each in log.splitlines(keepends=True) if each.startswith(b"BEGIN"))
    assert len(line) > 10_000_000
    permissions = ["clipboard-read", "clipboard-write"]
    with opened_page(browser, permissions=permissions) as page:
        open_job(page, server, job_id)
        numbered(page, "after 50", 101)
        is_bounded(page)
        page.keyboard.press("Home")
        numbered(page, "before 1", 1)
        row(page, "BEGIN").scroll_into_view_if_needed()
        expect(row(page, "BEGIN").locator(".number")).to_have_text("51")

        page.keyboard.press("/")
        page.keyboard.type("The Needle")
        page.keyboard.press("Enter")
        expect(page.get_by_role("search").get_by_role("status")).to_have_text("1 of 1")
        hit = page.locator(".row.selected mark")
        expect(hit).to_be_in_viewport(ratio=1)
        expect(hit).to_have_text("the needle")
        is_bounded(page)
        page.keyboard.press("w")
        expect(hit).to_be_in_viewport(ratio=1)
        expect(page.locator(".row.continued").nth(60)).to_be_attached()
        is_bounded(page)

        page.get_by_role("button", name="Copy lines").click()
        assert page.evaluate(COPIED) == hashlib.sha256(line).hexdigest()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert download.value.path().read_bytes() == log

    with opened_page(browser, viewport={"width": 390, "height": 844}) as page:
        open_job(page, server, job_id, f"#o{log.index(b'the needle')}")
        expect(row(page, "the needle in it")).to_be_in_viewport()
        page.keyboard.press("w")
        page.keyboard.press("End")
        numbered(page, "after 50", 101)
