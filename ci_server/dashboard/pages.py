"""The pages, as HTML: what they are called, and what they load."""

import posixpath
import re
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple


class Page(NamedTuple):
    """A page of the dashboard."""

    path: str
    """Of its route, below `UI_PATH`; parameters are for its script, which reads the address."""
    script: str
    """The module in `static/pages/` that draws it."""
    title: str
    styles: tuple[str, ...] = ()
    """Style sheets besides the page's own, in `static/`."""
    without_script: str = (
        "This page needs JavaScript. The command line does not: ci list, ci logs ID."
    )
    """HTML for browsers that run no scripts."""


UI_PATH = "/ui"

_CHARTS = ("vendor/uplot.css", "lib/chart.css")
_RESULTS = (*_CHARTS, "lib/results.css")

PAGES = (
    Page("/", "jobs", "Jobs", styles=("lib/dialog.css", "pages/jobs/submit.css")),
    Page("/jobs/{job_id}", "job", "Job", styles=("log/log.css", "lib/dialog.css", *_CHARTS)),
    Page("/login", "login", "Sign in"),
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
<link rel="stylesheet" href="{assets}base.css">
{styles}<link rel="stylesheet" href="{assets}pages/{script}.css">
<script src="{assets}theme.js"></script>
<script src="{assets}retry.js"></script>
{preloads}
<script type="module" src="{assets}pages/{script}.js"></script>
</head>
<body>
<div id="page"></div>
<noscript>{without_script}</noscript>
</body>
</html>
"""


STATIC = Path(str(files(__package__) / "static"))
_IMPORT = re.compile(r"""^(?:import|export)\b[^;]*?\bfrom "(\.[^"]+)";""", re.MULTILINE)


@cache
def page_html(page: Page, depth: int) -> str:
    """The page at an address with so many slashes behind that of the first page. Its links are
    relative, for proxies that serve us below a path of theirs.

    It names all modules that its script needs, so that a browser does not find them one after the
    other, each in the one before.
    """
    assets = "../" * depth + "assets/"
    styles = "".join(f'<link rel="stylesheet" href="{assets}{style}">\n' for style in page.styles)
    modules = sorted(_needed_by(f"pages/{page.script}.js"))
    preloads = "\n".join(f'<link rel="modulepreload" href="{assets}{path}">' for path in modules)
    return _HTML.format(
        title=escape(page.title),
        script=page.script,
        assets=assets,
        styles=styles,
        preloads=preloads,
        without_script=page.without_script,
    )


def depth_of(page: Page) -> int:
    """The slashes in the page's own address, for `page_html`."""
    return page.path.count("/") - 1


def _needed_by(module: str) -> set[str]:
    """The modules that one imports, and those that they import."""
    found: set[str] = set()
    to_read = [module]
    while to_read:
        reading = to_read.pop()
        for path in _IMPORT.findall((STATIC / reading).read_text()):
            needed = posixpath.normpath(posixpath.join(posixpath.dirname(reading), path))
            if needed not in found:
                found.add(needed)
                to_read.append(needed)
    return found
