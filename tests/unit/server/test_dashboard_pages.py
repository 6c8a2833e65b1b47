"""The dashboard's pages as they are sent, and the files that they load."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

import ci_server.dashboard
from ci_server.dashboard.pages import MISSING, PAGES, UI_PATH, depth_of, page_html
from setup_steps.dashboard_assets import LICENSES, PACKAGES, VENDOR

STATIC = Path(ci_server.dashboard.__file__).parent / "static"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.script)
def test_everything_a_page_names_is_in_the_package(page):
    html = page_html(page, depth_of(page))
    names_what_is_there(html, page.path, 6 + len(page.styles))


@pytest.mark.parametrize("address", ["/nothing", "/models/", "/jobs/id/%2F/x"])
def test_the_page_for_other_addresses_names_what_is_there(address):
    names_what_is_there(page_html(MISSING, address.count("/") - 1), address, 6)


def names_what_is_there(html, address, at_least):
    links = re.findall(r'(?:href|src)="([^"]+)"', html)
    assert len(links) >= at_least
    for link in links:
        path = urljoin(UI_PATH + address, link)
        assert (STATIC / path.removeprefix(UI_PATH + "/assets/")).is_file(), path


def test_modules_import_what_is_there():
    for module in STATIC.rglob("*.js"):
        for name in re.findall(r'\bfrom ?"(\.[^"]+)"', module.read_text()):
            assert (module.parent / name).is_file(), (module.name, name)


def test_every_library_is_listed_with_its_licence():
    taken = [target for package in PACKAGES for target in package.files.values()]
    assert sorted(path.name for path in VENDOR.iterdir()) == sorted([*taken, LICENSES])
    licenses = (VENDOR / LICENSES).read_text()
    for package in PACKAGES:
        assert f"{package.name}@{package.version} ({package.license}): " in licenses
