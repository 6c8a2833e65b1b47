"""Strict parsing of query parameters, as in `ci_common.strict_json`."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import get_origin

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.requests import HTTPConnection

from ci_server.http.guards import TOKEN_PARAMETER

_DECIMAL = re.compile(r"[0-9]{1,18}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


async def strict_query(connection: HTTPConnection) -> None:
    """The dependency that refuses a name that is given more than once, since whoever looks through
    a request on its way, and we, need not take the same one; and a name that the route does not
    know, since ignoring it would answer something other than what was asked for. Only a parameter
    that is declared as a list may be given more than once.

    Raises RequestValidationError.
    """
    if not connection.query_params:
        return
    counts = Counter(name for name, _ in connection.query_params.multi_items())
    known = _known_names(connection)
    repeated = [name for name, count in counts.items() if count > 1 and not known.get(name)]
    unknown = counts.keys() - known.keys()
    if repeated or unknown:
        raise RequestValidationError(
            [_problem(name, "is given more than once") for name in repeated]
            + [_problem(name, "is not a parameter of this request") for name in sorted(unknown)]
        )


def query_error(name: str, problem: str) -> RequestValidationError:
    """What is wrong with one parameter."""
    return RequestValidationError([_problem(name, problem)])


def _problem(name: str, problem: str) -> dict[str, object]:
    return {"loc": ("query", name), "msg": problem}


def _known_names(connection: HTTPConnection) -> dict[str, bool]:
    """Those that the route declares, and whether each is a list; and the token, which is for the
    guards to judge, and does not close a public route to whoever sends it everywhere.
    """
    names = {TOKEN_PARAMETER: False}
    for dependant in _with_dependencies(connection.scope["route"].dependant):
        for parameter in dependant.query_params:
            names[parameter.alias] = get_origin(parameter.field_info.annotation) is list
    return names


def _with_dependencies(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for dependency in dependant.dependencies:
        yield from _with_dependencies(dependency)


def _decimal(value: object) -> object:
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise PydanticCustomError("decimal", "must be an integer of at most 18 digits")
    return value


decimal = BeforeValidator(_decimal)
"""Of a number: digits only, and not what else Python would read as one (`5.0`, `1_000`)."""


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is not None and _DATE.fullmatch(value):
        return moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        raise PydanticCustomError(
            "moment", "must be a date, or a time such as 2026-11-28T09:00:00Z"
        )
    return moment.astimezone(UTC)


moment = BeforeValidator(_moment)
"""Of a time: RFC 3339 with its zone, or a date, which begins in UTC."""
