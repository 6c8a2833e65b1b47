"""Query parameters: one meaning or none, as in `ci_common.strict_json`."""

import re
from collections import Counter

from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.requests import HTTPConnection

_DECIMAL = re.compile(r"[0-9]{1,18}")


async def no_repetition(connection: HTTPConnection) -> None:
    """The dependency that refuses a name that is given more than once: whoever looks through a
    request on its way, and we, need not take the same one.

    Raises RequestValidationError.
    """
    counts = Counter(name for name, _ in connection.query_params.multi_items())
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": "is given more than once"} for name in repeated]
        )


def _decimal(value: object) -> object:
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise PydanticCustomError("decimal", "must be a whole number of at most 18 digits")
    return value


decimal = BeforeValidator(_decimal)
"""Of a number: digits only, and not what else Python would read as one (`5.0`, `1_000`)."""
