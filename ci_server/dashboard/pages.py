"""The pages, as HTML: what they are called, and what they load."""

from html import escape
from typing import NamedTuple


class Page(NamedTuple):
    """A page of the dashboard."""

    path: str
    """Of its route, below `UI_PATH`; parameters are for its script, which reads the address."""
    script: str
    """The module in `static/pages/` that draws it."""
    title: str


UI_PATH = "/ui"

PAGES = (
    Page("/", "jobs", "Jobs"),
    Page("/jobs/{job_id}", "job", "Job"),
)

_HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · CI runner</title>
<link rel="icon" href="{assets}icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{assets}base.css">
<link rel="stylesheet" href="{assets}pages/{script}.css">
<script src="{assets}theme.js"></script>
<script type="module" src="{assets}pages/{script}.js"></script>
</head>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript. The command line does not: ci list, ci logs ID.</noscript>
</body>
</html>
"""


def page_html(page: Page) -> str:
    """The page. Its links are relative, for proxies that serve us below a path of theirs."""
    assets = "../" * (page.path.count("/") - 1) + "assets/"
    return _HTML.format(title=escape(page.title), script=page.script, assets=assets)
