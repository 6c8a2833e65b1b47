"""Security headers of every response."""

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

HSTS = (b"strict-transport-security", b"max-age=31536000")
"""Only over https: the browser is to use nothing else for a year."""


def secured(headers: list[tuple[bytes, bytes]], *, over_https: bool) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, and those that are missing."""
    present = {name.lower() for name, _ in headers}
    wanted = (*SECURITY_HEADERS, HSTS) if over_https else SECURITY_HEADERS
    return [*headers, *(header for header in wanted if header[0] not in present)]
