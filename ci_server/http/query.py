"""Query parameters: one meaning or none, as in `ci_common.strict_json`."""

import re
from collections import Counter
from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.requests import HTTPConnection

from ci_server.http.guards import TOKEN_PARAMETER

_DECIMAL = re.compile(r"[0-9]{1,18}")


async def strict_query(connection: HTTPConnection) -> None:
    """The dependency that refuses a name that is given more than once, since whoever looks through
    a request on its way, and we, need not take the same one; and a name that the route does not
    know, since ignoring it would answer something other than what was asked for.

    Raises RequestValidationError.
    """
    if not connection.query_params:
        return
    counts = Counter(name for name, _ in connection.query_params.multi_items())
    repeated = [name for name, count in counts.items() if count > 1]
    unknown = counts.keys() - _known_names(connection)
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


def _known_names(connection: HTTPConnection) -> set[str]:
    """Those that the route declares; and the token, which is for the guards to judge, and does not
    close a public route to whoever sends it everywhere.
    """
    names = {TOKEN_PARAMETER}
    for dependant in _with_dependencies(connection.scope["route"].dependant):
        names.update(parameter.alias for parameter in dependant.query_params)
    return names


def _with_dependencies(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for dependency in dependant.dependencies:
        yield from _with_dependencies(dependency)


def _decimal(value: object) -> object:
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise PydanticCustomError("decimal", "must be a whole number of at most 18 digits")
    return value


decimal = BeforeValidator(_decimal)
"""Of a number: digits only, and not what else Python would read as one (`5.0`, `1_000`)."""
