"""A log of 20 MB on the page of a job. benchmarks/log_viewer.py has one of 200 MB, and times."""

import re

import pytest
from playwright.sync_api import expect

from support.browser import opened_page
from support.large_log import DRAG, SCROLL, cost_of, frames_of, write_log
from support.log_page import open_job, row

pytestmark = pytest.mark.docker


def test_a_large_log_costs_little_and_is_exact_everywhere(server, browser):
    job_id, lines = write_log(server, 20)
    with opened_page(browser) as page:
        fetched = []
        page.on("request", lambda request: fetched.append(request.url))
        open_job(page, server, job_id)
        last = row(page, f"the last of {lines} lines")
        expect(last).to_be_visible()
        expect(last.locator(".number")).to_have_text(f"{lines}")
        assert not [url for url in fetched if "/stream" in url]
        frames_of(page, SCROLL, 100)
        frames_of(page, DRAG, 100)
        page.evaluate("document.querySelector('.log').scrollTop = 1_234_567")
        seen = page.locator(".row", has=page.locator("a.number")).nth(50)
        expect(seen).to_contain_text("request 61")
        expect(seen.locator(".number")).to_have_text(re.compile(r"^\d+$"))
        number = seen.locator(".number").text_content()
        expect(seen.locator(".text")).to_contain_text(f"request {number} ")
        cost = cost_of(page)
        assert cost.heap_mb < 50
        assert cost.nodes < 5000
        page.keyboard.press("Home")
        expect(row(page, "request 1 handled")).to_be_visible()
        page.keyboard.press("End")
        expect(last).to_be_visible()
