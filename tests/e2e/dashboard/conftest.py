"""A browser for the tests of pages.

Playwright's loop is the running one of its thread while it is in use, so the browser is of a
module, and its modules do not run loops of their own.
"""

import pytest

from support.browser import CHROMIUM, SECONDS, chromium, opened_page


@pytest.fixture(scope="module")
def browser():
    """A browser."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (scripts/test installs it where it can)")
    from playwright.sync_api import expect

    expect.set_options(timeout=SECONDS * 1000)  # of the whole process: for all modules
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser):
    """A page in a new profile; what it reports as an error fails the test."""
    with opened_page(browser) as page:
        yield page
