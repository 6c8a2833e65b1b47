"""The Markdown pages of the repository, as a forge renders them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
CURRENT = [path for path in PAGES if path.parent.name != "decisions" and path.stem != "CHANGELOG"]
"""Pages that describe the programs as they are; the others tell their history."""

_FENCE = re.compile(r"^( *)(```+)(.*?)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) +(.*?) *$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+)\)")


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def prose(self) -> str:
        """The text without fenced code."""
        return _FENCE.sub("", self.text)

    def fences(self, *languages: str) -> list[str]:
        """The contents of fenced code in any of these languages."""
        found = _FENCE.finditer(self.text)
        return [match[4] for match in found if match[3].strip() in languages]

    @property
    def links(self) -> list[str]:
        """The targets of all links and images."""
        return _LINK.findall(re.sub(r"`[^`]*`", "``", self.prose))

    @property
    def anchors(self) -> set[str]:
        """What may follow `#` in a link to this page, as GitHub makes it of headings."""
        found: set[str] = set()
        for _, title in _HEADING.findall(self.prose):
            slug = anchor_of(title)
            again = 0
            while (unique := f"{slug}-{again}" if again else slug) in found:
                again += 1
            found.add(unique)
        return found

    def section(self, title: str) -> str:
        """What stands below a heading, up to the next one of its rank or a higher one."""
        for match in _HEADING.finditer(self.text):
            if match[2] == title:
                rest = self.text[match.end() :]
                end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
                return rest[: end.start()] if end else rest
        raise AssertionError(f"{self.path.name} has no heading {title!r}")

    def rows(self, title: str, header: str | None = None) -> list[list[str]]:
        """The cells of the tables in a section, without their headings; `header`: of those whose
        first heading is this.
        """
        return [
            row
            for headings, rows in _tables(self.section(title))
            if header in (None, headings[0])
            for row in rows
        ]


def page(name: str) -> Page:
    """A page by its path below `docs`."""
    return Page(DOCS / name)


def code_of(shown: Page, title: str, language: str) -> str:
    """The one fenced code in this language of a section."""
    found = _FENCE.finditer(shown.section(title))
    (code,) = [match[4] for match in found if match[3].strip() == language]
    return code


def anchor_of(title: str) -> str:
    """The anchor of a heading."""
    shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
    return re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")


def _tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if re.match(r" *\|[ :-]+\|", line) and set(line) <= set("|-: "):
            body = takewhile(lambda row: row.lstrip().startswith("|"), lines[number + 1 :])
            yield _cells(lines[number - 1]), [_cells(row) for row in body]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def words_in_code(text: str) -> list[str]:
    """The contents of inline code, in order."""
    return re.findall(r"`([^`]+)`", text)
