"""Known vulnerabilities of the pinned dependencies, asked of OSV (https://google.github.io/osv.dev).

One request for all of them. A service that cannot be reached, or whose answer cannot be trusted,
is said to be just that: it never counts as "nothing found".
"""

import http.client
import json
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVICE = "https://api.osv.dev/v1/querybatch"
REQUIRE = "CI_REQUIRE_AUDIT"
"""With it in the environment an audit that cannot be made is a failure."""

ACCEPTED: dict[str, str] = {}
"""Ids of advisories that do not concern us, and why not."""

_SECONDS = 15.0
_MOST_BYTES = 16 << 20
_CANARY = ("jinja2", "2.4.1")
"""A version with well-known advisories: a service that has none for it knows nothing."""


class NoAnswerError(Exception):
    """The service cannot be asked, or does not answer as it should."""


@dataclass(frozen=True)
class Audit:
    """What came of it."""

    is_ok: bool
    lines: tuple[str, ...]


def pins(constraints: Path) -> list[tuple[str, str]]:
    """Name and version of all that is pinned, for whichever platform."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in lines)
    return [(match[1], match[2]) for match in found if match]


def audit(constraints: Path, service: str = SERVICE) -> Audit:
    """Ask for all that is pinned. Fails for findings, and for no answer when `REQUIRE` is set."""
    pinned = pins(constraints)
    try:
        found = ask(pinned, service)
    except NoAnswerError as error:
        line = f"NOT DONE: {error}; nothing is known of the {len(pinned)} dependencies"
        return Audit(not os.environ.get(REQUIRE), (line,))
    told = [
        f"{name} {version}: {advisory}"
        for (name, version), advisories in found.items()
        for advisory in advisories
        if advisory not in ACCEPTED
    ]
    if told:
        return Audit(
            False,
            (
                f"FAILED, {len(told)} known",
                *told,
                "see https://osv.dev/ID; mend with scripts/lock --upgrade",
            ),
        )
    return Audit(True, (f"ok, {len(pinned)} dependencies have no known vulnerability",))


def ask(
    pinned: list[tuple[str, str]], service: str = SERVICE
) -> dict[tuple[str, str], tuple[str, ...]]:
    """The ids of the advisories for each name and version. Raises NoAnswerError."""
    asked = [_CANARY, *pinned]
    queries = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in asked
    ]
    results = _results(_post(service, {"queries": queries}))
    if len(results) != len(asked):
        raise NoAnswerError(f"{service} answered {len(results)} of {len(asked)} questions")
    if not results[0]:
        raise NoAnswerError(f"{service} does not even know of {' '.join(_CANARY)}")
    return dict(zip(pinned, results[1:], strict=True))


def _post(service: str, question: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        service, json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            return json.loads(response.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        error.close()
        raise NoAnswerError(f"{service} answered {error.code}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswerError(f"{service} cannot be asked ({error})") from error


def _results(answer: Any) -> list[tuple[str, ...]]:
    try:
        return [tuple(str(one["id"]) for one in of.get("vulns", ())) for of in answer["results"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise NoAnswerError("the service's answer is not one of OSV's") from error
