"""The pages, as HTML: what they are called, and what they load."""

from functools import cache
from html import escape
from typing import NamedTuple

from ci_server.dashboard.assets import Asset, joined, read_assets, version_of
from ci_server.dashboard.modules import Modules


class Page(NamedTuple):
    """A page of the dashboard."""

    path: str
    """Of its route, below `UI_PATH`; parameters are for its script, which reads the address."""
    script: str
    """The module in `static/pages/` that draws it."""
    title: str
    styles: tuple[str, ...] = ()
    """Style sheets besides the page's own, in `static/`."""
    early: str | None = None
    """A module that asks for what is shown first, while the others are loaded."""
    without_script: str = (
        "This page needs JavaScript. The command line does not: ci list, ci logs ID."
    )
    """HTML for browsers that run no scripts."""


UI_PATH = "/ui"

_CHARTS = ("vendor/uplot.css", "lib/chart.css")
_RESULTS = (*_CHARTS, "lib/results.css")

PAGES = (
    Page(
        "/",
        "jobs",
        "Jobs",
        ("lib/dialog.css", "pages/jobs/submit.css"),
        "pages/jobs/early.js",
    ),
    Page(
        "/jobs/{job_id}",
        "job",
        "Job",
        ("log/log.css", "lib/dialog.css", *_CHARTS),
        "job/early.js",
    ),
    Page("/login", "login", "Sign in"),
    Page("/sessions", "sessions", "Your sessions"),
    Page("/models", "models", "Models", styles=("lib/paged_list.css",)),
    Page("/models/{job_id}", "model", "Model", styles=_RESULTS),
    Page("/runs", "runs", "Runs", styles=("lib/paged_list.css",)),
    Page("/runs/{run_id}", "run", "Run", styles=(*_RESULTS, "lib/paged_list.css")),
)

MISSING = Page(
    "/{path:path}",
    "missing",
    "Not found",
    without_script="There is no such page. The pages of this server begin at /ui/.",
)
"""What is shown at all other addresses."""

_HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · CI runner</title>
<link rel="icon" href="{assets}icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{assets}joined/{script}.css">
<script src="{assets}joined/head.js"></script>
{early}<script type="module" src="{assets}joined/{script}.js"></script>
</head>
<body>
<div id="page"></div>
<noscript>{without_script}</noscript>
</body>
</html>
"""
_EARLY = '<script type="module" async src="{assets}joined/{script}.early.js"></script>\n'
"""With `async` it does not wait for what else the page loads."""


class Site(NamedTuple):
    """All that pages load."""

    version: str
    """Of all of it. It is in the addresses, so that no page mixes the files of two."""
    assets: dict[str, Asset]
    """By path."""


@cache
def site() -> Site:
    """The files in `static/`, and in `joined/` what pages load of them. It is made when it is first
    asked for, and takes a few tenths of a second: for a thread.
    """
    files = read_assets()
    modules = Modules(files)
    found = {"joined/head.js": joined(files, ("theme.js", "retry.js")), **files}
    for page in (*PAGES, MISSING):
        own = f"joined/{page.script}"
        found[own + ".css"] = joined(files, ("base.css", *page.styles, f"pages/{page.script}.css"))
        early = {own + ".early.js": [page.early]} if page.early else {}
        scripts = {**early, own + ".js": [f"pages/{page.script}.js"]}
        found |= modules.joined(scripts, later=own + ".later.js")
    return Site(version_of(found), {path: Asset(path, content) for path, content in found.items()})


@cache
def page_html(page: Page, depth: int) -> str:
    """The page at an address with so many slashes behind that of the first page. Its links are
    relative, for proxies that serve us below a path of theirs. For a thread, like `site`.
    """
    names = {"assets": "../" * depth + f"assets/{site().version}/", "script": page.script}
    early = _EARLY.format(**names) if page.early else ""
    return _HTML.format(
        title=escape(page.title), early=early, without_script=page.without_script, **names
    )


def depth_of(page: Page) -> int:
    """The slashes in the page's own address, for `page_html`."""
    return page.path.count("/") - 1
