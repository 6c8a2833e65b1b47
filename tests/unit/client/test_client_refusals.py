"""What the client says of answers that are no."""

import httpx
import pytest

from ci_client.library.transport import refusal

HTTP = httpx.Client(base_url="http://server", trust_env=False)


def told(status, message, request_id="r-1"):
    error = {"code": "some_code", "message": message, "request_id": request_id}
    headers = {"X-Request-ID": request_id}
    return refusal(HTTP, httpx.Response(status, json={"error": error}, headers=headers)).message


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (500, "internal error", "internal error (request id r-1)"),
        (503, "the engine is down", "the engine is down (request id r-1)"),
        (500, "internal error (request id r-1)", "internal error (request id r-1)"),
        (400, "the file is no zip", "the file is no zip"),
    ],
)
def test_the_servers_own_troubles_carry_the_request_id(status, message, said):
    assert told(status, message) == said


def test_an_answer_of_somebody_else_is_told_by_its_status():
    message = refusal(HTTP, httpx.Response(502, text="<html>Bad Gateway")).message
    assert message == "The server at http://server refused the request with status 502."
