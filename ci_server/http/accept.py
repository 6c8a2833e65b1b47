"""What kind of answer a client asks for (RFC 9110, 12.5.1)."""

from starlette.requests import HTTPConnection

HTML = "text/html"
_JSON = "application/json"


def wants_html(connection: HTTPConnection) -> bool:
    """Whether it names HTML, and likes JSON no better: a browser that shows a page does, programs
    that send `*/*` or nothing do not.
    """
    liked = _qualities(", ".join(connection.headers.getlist("accept")))
    return liked.get(HTML, 0) > 0 and liked[HTML] >= liked.get(_JSON, 0)


def _qualities(accept: str) -> dict[str, float]:
    found = {}
    for entry in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        found[kind] = next(
            (_number(value) for name, _, value in map(_parted, parameters) if name == "q"), 1.0
        )
    return found


def _parted(parameter: str) -> tuple[str, str, str]:
    return parameter.partition("=")


def _number(value: str) -> float:
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
