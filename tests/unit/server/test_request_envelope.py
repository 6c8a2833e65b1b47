"""Around every request: its id, careful headers, and CORS for the origins that are listed."""

import logging

import httpx
import pytest
from fastapi.responses import StreamingResponse

from ci_common.errors import JobNotFoundError, LogCorruptError
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.http.errors import install_error_handlers
from ci_server.http.stream_response import CuttingApplication
from ci_server.telemetry.request_id import RequestIdFilter, choose_request_id

pytestmark = pytest.mark.anyio

LISTED = "https://ci.example.com"
SECRET_PATH = "/srv/secret/place.log"


def application(origins=(), trusted=""):
    app = CuttingApplication()
    app.state.trusted_proxies = TrustedProxies.parse(trusted)
    app.state.cors_origins = origins
    install_error_handlers(app)

    @app.get("/fine")
    async def fine():
        logging.getLogger("test").warning("serving")
        return {}

    @app.get("/own")
    async def own():
        async def body():
            logging.getLogger("test").warning("streaming")
            yield b"x"

        return StreamingResponse(body(), headers={"Cache-Control": "no-cache, no-transform"})

    @app.get("/missing")
    async def missing():
        raise JobNotFoundError

    @app.get("/broken")
    async def broken():
        raise RuntimeError(SECRET_PATH)

    @app.get("/corrupt")
    async def corrupt():
        raise LogCorruptError(f"{SECRET_PATH} is damaged")

    return app


async def ask(path, *, method="GET", headers=None, origins=(), scheme="http", trusted=""):
    transport = httpx.ASGITransport(application(origins, trusted), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://test") as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize("path", ["/fine", "/own", "/missing", "/broken", "/nothing"])
async def test_every_answer_has_careful_headers(path):
    headers = (await ask(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    own = "no-cache, no-transform" if path == "/own" else "no-store"
    assert headers.get_list("cache-control") == [own]
    assert "strict-transport-security" not in headers


async def test_https_is_to_stay_https():
    answer = await ask("/fine", scheme="https")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("trusted", "told", "kept"),
    [
        ("127.0.0.1", "https", True),
        ("127.0.0.1", "http, https", True),
        ("127.0.0.1", "https, http", False),
        ("127.0.0.1", "http", False),
        ("10.0.0.1", "https", False),
        ("", "https", False),
    ],
)
async def test_https_that_ends_at_a_trusted_proxy_counts(trusted, told, kept):
    headers = {"X-Forwarded-Proto": told}
    answer = await ask("/missing", headers=headers, trusted=trusted)
    assert ("strict-transport-security" in answer.headers) == kept


@pytest.mark.parametrize("path", ["/missing", "/broken", "/corrupt", "/nothing"])
async def test_errors_carry_the_id_of_their_request(path):
    answer = await ask(path, headers={"X-Request-ID": "mine-1"})
    assert answer.headers.get_list("x-request-id") == ["mine-1"]
    assert answer.json()["error"]["request_id"] == "mine-1"
    if path == "/broken":
        assert "request id mine-1" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/broken", "/corrupt"])
async def test_errors_tell_no_paths(path):
    answer = await ask(path)
    assert answer.status_code == 500
    assert "secret" not in answer.text


async def test_requests_without_an_id_get_one():
    first, second = await ask("/fine"), await ask("/fine")
    assert len({first.headers["x-request-id"], second.headers["x-request-id"]}) == 2


@pytest.mark.parametrize("offered", ["a", "A-b_c.9", "x" * 64])
def test_short_and_harmless_ids_are_taken(offered):
    assert choose_request_id(offered) == offered


@pytest.mark.parametrize("offered", [None, "", "x" * 65, "a b", "a\nb", "<script>", "ä", "a/b"])
def test_other_ids_are_replaced(offered):
    assert choose_request_id(offered) != offered


@pytest.mark.parametrize("path", ["/fine", "/own"])
async def test_log_lines_carry_it(path, caplog):
    caplog.handler.addFilter(RequestIdFilter())
    await ask(path, headers={"X-Request-ID": "mine-2"})
    (record,) = [record for record in caplog.records if record.name == "test"]
    assert record.request_id == "mine-2"


# ------------------------------------------------------------------ CORS

PREFLIGHT = {
    "Origin": LISTED,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization",
}


def cors_headers(answer):
    return {name for name in answer.headers if name.startswith("access-control-")}


@pytest.mark.parametrize("origins", [(), ("https://other.example.com",)])
async def test_origins_that_are_not_listed_get_no_permission(origins):
    for answer in (
        await ask("/fine", headers={"Origin": LISTED}, origins=origins),
        await ask("/fine", method="OPTIONS", headers=PREFLIGHT, origins=origins),
    ):
        assert "access-control-allow-origin" not in answer.headers
    if not origins:
        assert cors_headers(answer) == set()


@pytest.mark.parametrize("path", ["/fine", "/own", "/missing", "/broken"])
async def test_listed_origins_may_read_answers_and_errors(path):
    answer = await ask(path, headers={"Origin": LISTED}, origins=(LISTED,))
    assert answer.headers["access-control-allow-origin"] == LISTED
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/fine", "/missing", "/nothing"])
async def test_a_preflight_tells_nothing_of_what_there_is(path):
    answer = await ask(path, method="OPTIONS", headers=PREFLIGHT, origins=(LISTED,))
    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["access-control-allow-origin"] == LISTED
