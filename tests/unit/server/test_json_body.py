"""JSON bodies: read whole, as long as they are small, and refused with the place of the problem."""

import asyncio
import json

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from ci_common.errors import RequestTimeoutError, UploadTooLargeError
from ci_server.http.json_body import MAX_BODY_BYTES, json_request, read_json_body

pytestmark = pytest.mark.anyio


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    at_most: int = Field(default=1, le=3)


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=2, max_length=10_000)
    inner: Inner = Inner()


def request(*chunks, kind=b"application/json", closes=False):
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect" if closes else "http.request"})
    waiting = iter(messages)

    async def receive():
        return next(waiting)

    headers = [(b"content-type", kind)] if kind is not None else []
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def read(*chunks, **options):
    return await read_json_body(request(*chunks, **options), Shape, 5)


async def refusal(*chunks, **options):
    """(path within the body, message) of each problem."""
    with pytest.raises(RequestValidationError) as caught:
        await read(*chunks, **options)
    return [(".".join(found["loc"][1:]), found["msg"]) for found in caught.value.errors()]


@pytest.mark.parametrize(
    "kind", [b"application/json", b"Application/JSON", b"application/json; charset=utf-8"]
)
async def test_a_body_is_read_wherever_it_is_cut(kind):
    content = b'{"text": "\xc3\xa4b", "inner": {"at_most": 2}}'
    found = await read(*(content[at : at + 1] for at in range(len(content))), kind=kind)
    assert found == Shape(text="äb", inner=Inner(at_most=2))


async def test_the_longest_text_fits_when_every_character_is_escaped():
    text = "\N{DNA DOUBLE HELIX}" * 10_000
    assert (await read(json.dumps({"text": text}).encode())).text == text


@pytest.mark.parametrize(
    ("content", "place", "told"),
    [
        (b"", "", "not JSON"),
        (b"{", "", "not JSON"),
        (b"[]", "", "not a JSON object"),
        (b'{"text": "\xff"}', "", "not JSON in UTF-8"),
        (b'{"text": "ab", "text": "cd"}', "", "text: duplicate key"),
        (b'{"text": "ab", "inner": {"at_most": NaN}}', "", "inner.at_most: a number is not finite"),
        (b"{}", "text", "required"),
        (b'{"text": "a"}', "text", "at least 2 characters"),
        (b'{"text": null}', "text", "valid string"),
        (b'{"text": 12}', "text", "valid string"),
        (b'{"text": "ab", "inner": {"at_most": 4}}', "inner.at_most", "less than or equal to 3"),
        (b'{"text": "ab", "inner": {"at_most": "1"}}', "inner.at_most", "valid integer"),
        (b'{"text": "ab", "inner": {"at_most": true}}', "inner.at_most", "valid integer"),
        (b'{"text": "ab", "new": 1}', "new", "is not a known key"),
        (b'{"text": "ab", "\\u001b[31m": 1}', r"'\x1b[31m'", "is not a known key"),
    ],
)
async def test_a_problem_is_told_with_its_place(content, place, told):
    ((found, message),) = await refusal(content)
    assert found == place
    assert told in message


async def test_the_first_of_many_problems_are_told():
    found = await refusal(json.dumps({f"new{number}": 0 for number in range(1000)}).encode())
    assert len(found) == 6
    assert found[-1] == ("", "and 996 more problems")


async def test_many_values_are_not_even_parsed():
    ((_, message),) = await refusal(b'{"text": [' + b"0," * 20_000 + b"0]}")
    assert "more than 10000 values" in message


@pytest.mark.parametrize(
    "kind", [None, b"", b"text/plain", b"application/x-www-form-urlencoded", b"application/jsonp"]
)
async def test_another_kind_of_body_is_refused_before_it_is_read(kind):
    ((_, message),) = await refusal(kind=kind, closes=True)
    assert "Content-Type: application/json" in message


async def test_a_large_body_is_not_read_to_its_end():
    chunks = [b" " * MAX_BODY_BYTES, b"{}", b"never read"]
    asked = request(*chunks)
    with pytest.raises(UploadTooLargeError, match="256 KiB"):
        await read_json_body(asked, Shape, 5)
    assert (await asked.receive())["body"] == b"never read"


async def test_a_body_that_stops_is_refused():
    ((_, message),) = await refusal(b'{"text": "ab"}', closes=True)
    assert "closed before the body was complete" in message


async def test_a_body_that_does_not_come_times_out():
    async def receive():
        await asyncio.Event().wait()

    headers = [(b"content-type", b"application/json")]
    asked = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(RequestTimeoutError):
        await read_json_body(asked, Shape, 0.01)


def test_the_document_tells_the_shape():
    body = json_request(Inner)["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert schema["properties"]["at_most"]["maximum"] == 3
    assert schema["additionalProperties"] is False
