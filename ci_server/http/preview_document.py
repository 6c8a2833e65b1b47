"""Files that a job wrote, as a browser shows them: their types, what pages get from us, and the
frame around a page in a tab of its own.

A page whose address is shown could change it to one of ours, and ask for a key: that is no network
request, so no policy forbids it. So a page runs scripts only within a frame, of the dashboard or of
ours, which says whose it is.
"""

import base64
import hashlib
import html
import re
from pathlib import PurePosixPath
from urllib.parse import quote

from ci_server.http.static_files import media_type_of

HEAD_BYTES = 4096
"""The first bytes of a file, by which its type may be told."""

FRAMED = "ci-framed"
"""The query that PAGE_SCRIPT asks for the frame with: over plain http browsers do not tell what
they load a page for.
"""

PAGE_SCRIPT = b"""\
<script>(() => {
  if (top === self) {
    stop();
    location.replace(location.pathname + "?ci-framed");
    return;
  }
  for (const name of ["localStorage", "sessionStorage"]) {
    try { window[name]; continue; } catch { /* not allowed in a sandbox */ }
    const kept = new Map();
    Object.defineProperty(window, name, { configurable: true, value: {
      get length() { return kept.size; },
      key: index => [...kept.keys()][index] ?? null,
      getItem: key => kept.get(String(key)) ?? null,
      setItem: (key, value) => void kept.set(String(key), String(value)),
      removeItem: key => void kept.delete(String(key)),
      clear: () => kept.clear(),
    } });
  }
  document.currentScript.remove();
})();</script>"""
"""Runs before the page's own scripts, and keeps them from running where there is no frame.

Reports of pytest-html and coverage.py remember how they are sorted. In a sandbox to ask for that is
an error, after which they show nothing: so they get a storage that lasts as long as the page.
"""

_STYLE = """
html, body { margin: 0; height: 100%; font: 14px system-ui, sans-serif; }
body { display: flex; flex-direction: column; }
p { margin: 0; padding: 6px 12px; background: #24292f; color: #fff; overflow-wrap: anywhere; }
iframe { flex: 1; border: 0; background: #fff; }
"""
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""For the policy of the frame."""

_FRAME = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Preview of {path}</title>
<style>{style}</style>
</head>
<body>
<p>Preview of {path}, written by job {job}. Never enter a password or a key here.</p>
<iframe title="Preview" sandbox="allow-scripts" src="./{name}"></iframe>
</body>
</html>
"""

_PLAIN = "text/plain; charset=utf-8"
_HTML = "text/html"
_BINARY = "application/octet-stream"
_SHOWN_TEXT = (_HTML, "text/css", "text/javascript")
"""Browsers would download other texts, such as CSV."""

_BEFORE_CONTENT = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[ \t\r\n\f]+|<!--[^>]*-->|<\?[^>]*>)*<!doctype[^>]*>", re.IGNORECASE
)
"""Nothing in it can be a script, however it is read: each part ends with its first `>`."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")
"""Marks of UTF-16."""


def preview_type(path: str, head: bytes) -> str:
    """The media type of a file with these first bytes: by its ending or, where that says nothing,
    plain text if it looks like one.
    """
    known = media_type_of(PurePosixPath(path))
    if known is None:
        return _PLAIN if _looks_like_text(head) else _BINARY
    is_other_text = known.startswith("text/") and not known.startswith(_SHOWN_TEXT)
    return _PLAIN if is_other_text else known


def is_shown(media_type: str) -> bool:
    """Whether a browser can do more with it than save it."""
    return media_type != _BINARY


def is_page(media_type: str) -> bool:
    """Whether it is one that may have scripts; in pictures and XML they never run."""
    return media_type.startswith(_HTML)


def place_of_script(head: bytes) -> int | None:
    """Where in a page PAGE_SCRIPT belongs: before all that may be a script, and behind what decides
    how it is laid out. `None` for one in which it would not be read as one.
    """
    if head.startswith(_OTHER_ENCODINGS):
        return None
    before = _BEFORE_CONTENT.match(head)
    if before:
        return before.end()
    return len(_BYTE_ORDER_MARK) if head.startswith(_BYTE_ORDER_MARK) else 0


def frame_html(job_id: str, path: str) -> str:
    """A page with nothing but the page at this path, as one that a job wrote."""
    name = quote(path.rpartition("/")[2], safe="")
    return _FRAME.format(path=html.escape(path), style=_STYLE, job=job_id, name=name)


def _looks_like_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == HEAD_BYTES and error.start > HEAD_BYTES - 4  # cut within a character
    return True
