"""Security headers of every response."""

from collections.abc import Iterable

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""For answers that do not set them on their own."""

SITE_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""For the operator's site: its own files, and styles that its scripts make; no inline script."""

DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""For the page that shows the API: nothing from another server."""

DASHBOARD_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""For the dashboard: nothing from another server, and no text that becomes markup or a script."""

PREVIEW_ERROR_POLICY = "default-src 'none'; sandbox; frame-ancestors 'self'"
"""For the page that says why there is no preview, which may be in a frame of the dashboard."""

HSTS = (b"strict-transport-security", b"max-age=31536000")
"""Only over https: the browser is to use nothing else for a year."""


def secured(headers: list[tuple[bytes, bytes]], *, over_https: bool) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, and those that are missing."""
    present = {name.lower() for name, _ in headers}
    wanted = (*SECURITY_HEADERS, HSTS) if over_https else SECURITY_HEADERS
    return [*headers, *(header for header in wanted if header[0] not in present)]


PREVIEW_HEADERS = {
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
    "Connection-Allowlist": "(response-origin)",
}
"""Beside its policy. The page's origin is none, so that to it all is another site; and whoever has
the URL may read it anyway. No policy forbids a browser WebRTC, which can reach any address; where
it knows the last of these headers, that does.
"""


def preview_policy(places: Iterable[str], *, scripts: bool = False) -> str:
    """For what a job wrote. Its origin is none, so that to us, and to other jobs, it is a stranger;
    it loads only what is at `places`, each a URL that ends with a slash, or in the page itself.
    """
    own = " ".join(places)
    allowed = "sandbox; "
    if scripts:
        allowed = (
            f"sandbox allow-scripts; script-src {own} 'unsafe-inline' 'unsafe-eval' data: blob:; "
            "worker-src blob: data:; "
        )
    return (
        f"{allowed}default-src 'none'; style-src {own} 'unsafe-inline' data:; "
        f"img-src {own} data: blob:; font-src {own} data:; media-src {own} data: blob:; "
        f"connect-src {own} data: blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


def preview_frame_headers(places: Iterable[str], style_hash: str) -> dict[str, str]:
    """For the page that frames it in a tab of its own."""
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src '{style_hash}'; frame-src {' '.join(places)}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Vary": "Sec-Fetch-Dest",
    }
