"""Signed URLs of artifacts, from a server that gives them to whoever asks with none."""

import hashlib
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from ci_common.job import JobStatus
from ci_persistence.files.signed_url_keys import SignedUrlKeys
from ci_server.services.grants import Grants
from support.administration import succeed
from support.instances import Instance
from support.live_server import LiveServer

FILES = {
    "output/report.html": b"<script>alert(1)</script>",
    "output/a b/ü\n%2e?#&=.json": b'{"a": 1}',
    "output/data": bytes(range(256)) * 4096,
    "output/empty.txt": b"",
    "output/archive.csv.gz": b"\x1f\x8b",
    "output/app.js": b"alert(1)",
    "output/app.mjs": b"alert(1)",
    "output/style.css": b"* {}",
}
TYPES = {
    "output/report.html": "text/html",
    "output/a b/ü\n%2e?#&=.json": "application/json",
    "output/data": "application/octet-stream",
    "output/empty.txt": "text/plain",
    "output/archive.csv.gz": "application/octet-stream",
    # What a page of this origin could load as its own is only text.
    "output/app.js": "text/plain",
    "output/app.mjs": "text/plain",
    "output/style.css": "text/plain",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server that asks for credentials, with a finished job of somebody's."""
    import asyncio

    directory = tmp_path_factory.mktemp("signed")

    async def fill():
        instance = Instance(directory)
        async with instance.opened() as database:
            return await instance.add_to(
                database, JobStatus.COMPLETED, b"log\n", FILES, tenant="acme", user="ann"
            )

    job_id = asyncio.run(fill())
    with LiveServer(directory, controller="external") as server:
        succeed(server, "user", "create", "--email", "olga@staff.example", "--name", "Olga")
        server.start()
        yield server, job_id


def url_of(world, path, seconds=600, offset=0.0):
    from datetime import timedelta

    from ci_common.job import utc_now

    server, job_id = world
    keys = SignedUrlKeys(server.data)
    grants = Grants(keys.keys, seconds, lambda: utc_now() + timedelta(seconds=offset))
    return grants.signer(server.url, job_id)(path)


def get(url, method="GET", **headers):
    return httpx.request(method, url, headers=headers, trust_env=False, timeout=60)


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("path", FILES)
def test_the_file_comes_without_credentials_and_is_saved(world, path):
    server, job_id = world
    plain = get(f"{server.url}/jobs/{job_id}/artifacts/x")
    assert plain.status_code == 401
    answer = get(url_of(world, path))
    assert (answer.status_code, answer.content) == (200, FILES[path])
    assert answer.headers["content-type"].partition(";")[0] == TYPES[path]
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["etag"] == f'"{hashlib.sha256(FILES[path]).hexdigest()}"'
    head = get(url_of(world, path), "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(FILES[path]))
    assert head.headers["content-type"] == answer.headers["content-type"]


def test_a_part_of_it(world):
    url = url_of(world, "output/data")
    part = get(url, range="bytes=250-259")
    assert (part.status_code, part.content) == (206, FILES["output/data"][250:260])
    assert get(url, range="bytes=9999999-").status_code == 416
    assert get(url, if_none_match="x", range="bytes=0-0").status_code == 206


def changed(url, **changes):
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **changes}
    return parts._replace(query=urlencode({k: v for k, v in query.items() if v is not None}))


@pytest.mark.parametrize(
    "change",
    [{"sig": "A" * 43}, {"expires": "99999999999"}, {"sig": None}, {"expires": None}, {"sig": ""}],
)
def test_an_altered_url_is_refused(world, change):
    refused(get(changed(url_of(world, "output/data"), **change).geturl()), 403, "invalid_grant")


def test_the_signature_of_another_file_or_job_is_refused(world):
    server, job_id = world
    query = urlsplit(url_of(world, "output/data")).query
    for place in (f"{job_id}/output/report.html", "00000000-0000-4000-8000-000000000000/x"):
        refused(get(f"{server.url}/artifacts/{place}?{query}"), 403, "invalid_grant")
    # Whoever has no signature does not learn which jobs there are.
    for place in (f"{job_id}/output/data", "00000000-0000-4000-8000-000000000000/output/data"):
        refused(get(f"{server.url}/artifacts/{place}"), 403, "invalid_grant")


def test_an_expired_url_is_refused_and_says_so(world):
    refused(get(url_of(world, "output/data", offset=-601)), 403, "grant_expired")


def test_a_repeated_parameter_is_refused(world):
    url = url_of(world, "output/data")
    refused(get(f"{url}&sig=x"), 400, "invalid_request")
    refused(get(f"{url}&download=1"), 400, "invalid_request")


def test_what_is_gone_is_gone(world):
    server, _ = world
    keys = SignedUrlKeys(server.data)
    from ci_common.job import utc_now

    grants = Grants(keys.keys, 60, utc_now)
    gone = grants.signer(server.url, "00000000-0000-4000-8000-000000000000")("a")
    refused(get(gone), 404, "job_not_found")
    refused(get(url_of(world, "output/no")), 404, "artifact_not_found")


def test_reading_is_in_the_audit_log_and_the_signature_in_no_log(world):
    server, job_id = world
    url = url_of(world, "output/empty.txt")
    get(url)
    entries = server.execute("SELECT credential FROM audit WHERE job_id = ?", job_id)
    assert ("signed-url",) in entries
    assert dict(parse_qsl(urlsplit(url).query))["sig"] not in server.log_path.read_text()


def test_two_rotations_revoke_every_url_of_a_running_server(world):
    server, _ = world
    url = url_of(world, "output/data")
    said = succeed(server, "signed-urls", "rotate")
    assert "stay valid until they expire" in str(said)
    assert get(url).status_code == 200
    succeed(server, "signed-urls", "rotate")
    refused(get(url), 403, "invalid_grant")
    assert get(url_of(world, "output/data")).status_code == 200
