"""Links lead somewhere: between pages, and from messages of the programs to pages."""

import re
from itertools import chain
from urllib.parse import unquote

import pytest

from tests.support.pages import DOCS, PAGES, ROOT, Page

PROGRAMS = [
    path
    for place in ("ci_*", "engine", "scripts", "examples", "docker", "tests")
    for top in ROOT.glob(place)
    for path in chain(top.rglob("*.py"), top.rglob("*.toml"))
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_and_anchor_exists(path):
    broken = [link for link in Page(path).links if is_broken(path, link)]
    assert broken == []


def is_broken(path, link):
    if re.match(r"(https?|mailto):", link):
        return False
    place, _, anchor = unquote(link).partition("#")
    target = (path.parent / place).resolve() if place else path
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in Page(target).anchors


def test_every_page_that_a_program_names_exists():
    """Not what begins with a slash: the server's own page is at `/docs`."""
    missing = [
        (str(path.relative_to(ROOT)), name)
        for path in PROGRAMS
        for name in re.findall(r"(?<![\w/])docs/([\w./-]*\w)", path.read_text())
        if not (DOCS / name).exists() and not is_decision(name)
    ]
    assert missing == []


def is_decision(name):
    """`decisions/0024` names a record by its number."""
    return bool(re.fullmatch(r"decisions/\d{4}", name)) and any(DOCS.glob(f"{name}-*.md"))


def test_every_page_is_linked_from_another():
    linked = {
        (path.parent / link.partition("#")[0]).resolve()
        for path in PAGES
        for link in Page(path).links
        if link.partition("#")[0]
    }
    decisions = DOCS / "decisions"
    alone = [path for path in PAGES if path not in linked and not path.is_relative_to(decisions)]
    assert alone == []


_PATH = re.compile(r"`((?:ci_\w+|engine|docs|tests|scripts)/[\w./-]+)`")


@pytest.mark.parametrize(
    "path", [DOCS / "architecture.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name
)
def test_every_path_of_the_code_in_the_pages_exists(path):
    named = _PATH.findall(Page(path).prose)
    assert named
    assert [name for name in named if not is_there(name)] == []


def is_there(name):
    return (ROOT / name).exists() or (ROOT / f"{name}.py").exists()
