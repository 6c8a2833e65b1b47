"""Executing queries with graphql-core, within bounds."""

import asyncio
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    build_schema,
    execute,
    parse,
    validate,
)

from ci_common.errors import QueryTimeoutError, QueryTooComplexError, RunnerError
from ci_common.principal import Principal
from ci_server.apis.graphql.cost import check_cost
from ci_server.apis.graphql.errors import errors_json, refusal_json
from ci_server.apis.graphql.query import Answer, QueryServices, Question
from ci_server.apis.graphql.resolvers import QueryContext, install
from ci_server.http.errors import STATUS_OF_CODE

SECONDS = 10.0
_MOST_TOKENS = 2000
_MOST_PROBLEMS = 10
_MOST_BYTES = 16 << 20
_TOO_LONG_NUMBER = re.compile("[0-9]{1000}")
"""Python refuses to read numbers that are not much longer."""
_SCHEMA_FILE = "schema.graphql"


@cache
def load_schema() -> GraphQLSchema:
    """The schema, with its resolvers."""
    text = files("ci_server.apis.graphql").joinpath(_SCHEMA_FILE).read_text(encoding="utf-8")
    schema = build_schema(text)
    install(schema)
    return schema


async def answer(question: Question, principal: Principal, services: QueryServices) -> Answer:
    """Execute a query. What is wrong with it is in the answer."""
    try:
        async with asyncio.timeout(SECONDS):
            prepared = await asyncio.to_thread(_prepare, question)
            if isinstance(prepared, list):
                return Answer(400, _encoded({"errors": errors_json(prepared)}))
            result = await _executed(prepared, question, principal, services)
            return await asyncio.to_thread(_presented, result)
    except TimeoutError:
        return _refused(QueryTimeoutError())
    except QueryTooComplexError as error:
        return _refused(error)


def _refused(error: RunnerError) -> Answer:
    return Answer(STATUS_OF_CODE[error.code], _encoded(refusal_json(error)))


def _prepare(question: Question) -> DocumentNode | list[GraphQLError]:
    """The document, or what is wrong with it. Raises QueryTooComplexError."""
    if _TOO_LONG_NUMBER.search(question.query):
        return [GraphQLError("a number in the query has too many digits")]
    try:
        document = parse(question.query, max_tokens=_MOST_TOKENS)
    except GraphQLError as error:
        return [error]
    except RecursionError:
        raise QueryTooComplexError("the query is nested too deeply") from None
    check_cost(document, question.variables)
    return validate(load_schema(), document, max_errors=_MOST_PROBLEMS) or document


async def _executed(
    document: DocumentNode, question: Question, principal: Principal, services: QueryServices
) -> ExecutionResult:
    context = QueryContext.of(principal, services)
    result = execute(
        load_schema(),
        document,
        context_value=context,
        variable_values=dict(question.variables),
        operation_name=question.operation,
    )
    return result if isinstance(result, ExecutionResult) else await result


def _presented(result: ExecutionResult) -> Answer:
    told: dict[str, Any] = {}
    if result.errors:
        told["errors"] = errors_json(list(result.errors))
    is_refused = result.data is None and all(error.path is None for error in result.errors or ())
    if not is_refused:
        told["data"] = result.data
    return Answer(400 if is_refused else 200, _encoded(told))


def _encoded(told: Mapping[str, Any]) -> bytes:
    """Raises QueryTooComplexError: aliases can repeat what is large, such as commands."""
    content = bytearray()
    for piece in json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).iterencode(told):
        content += piece.encode()
        if len(content) > _MOST_BYTES:
            raise QueryTooComplexError(
                f"the answer would be larger than {_MOST_BYTES >> 20} MiB; ask for less at once"
            )
    return bytes(content)
