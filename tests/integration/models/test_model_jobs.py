"""The model-job API with a real server: the contract, from submission to result."""

import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from engine.output.run import Changes, Request, run
from support import models
from support.archives import zip_bytes
from support.issuer import AUDIENCE, ISSUER, KeySetServer, jwk, token
from support.live_server import LiveServer
from support.model_schemas import ModelJobs
from support.raw_http import connected, parsed, rest

PACKAGE = models.zipped(models.GOLDEN_FILES)


@pytest.fixture(scope="module")
def local(server):
    return ModelJobs(server.http)


def ended(server, client, job_id):
    return server.until(
        lambda: client.get(job_id),
        lambda job: job["completedAt"] is not None,
        what=f"the end of {job_id}",
        seconds=90,
    )


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    return answer.json()["detail"]


# ------------------------------------------------------------------ one model, to its result


@pytest.mark.docker
@pytest.mark.parametrize("below", ["", "my model/"])
def test_a_model_from_submission_to_result(server, local, below):
    """In a real container; the result is the one that this machine's engine has."""
    package = models.zipped(
        {**models.GOLDEN_FILES, "manifest.json": models.manifest(models.GOLDEN_FILES)}, below
    )
    submitted = local.submit(package, model_name="Term life, gold", priority="10")
    job_id = submitted["jobId"]
    job = ended(server, local, job_id)
    assert job["status"] == "completed", job["errorMessage"]
    assert (job["modelName"], job["priority"]) == ("Term life, gold", 10)
    assert job["createdAt"] == submitted["createdAt"]
    assert job["createdAt"] <= job["startedAt"] <= job["completedAt"]
    expected = run(Request(models.GOLDEN, Changes())).document
    result = job["resultData"]
    assert result["resultHash"] == expected["result_hash"]
    assert result["statistics"]["mean"] == expected["statistics"]["mean_npv"]
    assert (result["policyCount"], result["scenarioCount"]) == (100, 10)
    assert result["executionTimeMs"] == job["executionTimeMs"] > 0
    names = {one["name"]: one for one in result["artifacts"]}
    assert {"output/results.json", "output/npv.npy", "output/npv.png"} <= set(names)
    npv = httpx.get(names["output/npv.npy"]["url"], trust_env=False, timeout=60)
    assert hashlib.sha256(npv.content).hexdigest() == names["output/npv.npy"]["sha256"]


@pytest.mark.docker
def test_a_model_that_is_not_valid_fails_with_the_engines_words(server, local):
    wrong = models.GOLDEN_FILES["lapse.csv"].replace(b"\n1,", b"\n1,x", 1)
    job = ended(
        server,
        local,
        local.submit(models.zipped({**models.GOLDEN_FILES, "lapse.csv": wrong}))["jobId"],
    )
    assert (job["status"], job["resultData"]) == ("failed", None)
    assert job["errorMessage"].startswith("lapse.csv, row 2, column ")


@pytest.mark.docker
def test_the_job_is_a_job_at_every_door(server, local):
    job_id = local.submit(PACKAGE)["jobId"]
    ended(server, local, job_id)
    native = server.job(job_id)
    assert (native["success"], native["name"]) == (True, "engine")
    assert native["command"][:6] == ["python", "-P", "-m", "engine", "run", "."]
    assert b'"phase":"scenarios"' in server.log(job_id)


@pytest.mark.docker
def test_a_file_of_the_model_does_not_stand_in_for_the_engine(server, local):
    hostile = {**models.GOLDEN_FILES, "engine.py": b"print('pwned')", "numpy.py": b"print('pwned')"}
    job_id = local.submit(models.zipped(hostile))["jobId"]
    assert ended(server, local, job_id)["status"] == "completed"
    assert b"pwned" not in server.log(job_id)


@pytest.mark.docker
def test_a_table_of_the_package_sets_limits_and_not_the_command(server, local):
    table = b'[jobs.engine]\ncommand = "echo mine"\nmemory = 512\n[jobs.engine.env]\nA = "1"\n'
    job_id = local.submit(models.zipped({**models.GOLDEN_FILES, "ci.toml": table}))["jobId"]
    job = ended(server, local, job_id)
    assert job["status"] == "completed", job
    assert server.job(job_id)["command"][0] == "python"


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"priority": "11"}, "priority"),
        ({"priority": "-1"}, "priority"),
        ({"priority": "1.0"}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"priority": "٣"}, "priority"),
        ({"model_name": "x" * 201}, "model_name"),
        ({"model_name": "a\nb"}, "model_name"),
        ({"model_name": "x" * 2000}, "model_name"),
    ],
)
def test_fields_that_are_not_valid(local, fields, told):
    answer = local.submit(PACKAGE, **fields)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


@pytest.mark.parametrize(
    ("package", "name", "status", "told"),
    [
        (PACKAGE, "model.tar", 400, "ends in .zip"),
        (PACKAGE, "zip", 400, "ends in .zip"),
        (b"", "model.zip", 400, "not a zip"),
        (b"no zip", "model.zip", 400, "not a zip"),
        (PACKAGE[:-30], "model.zip", 400, "not a zip"),
        (zip_bytes({"a.txt": b"x"}), "model.zip", 400, "no model.toml"),
        (zip_bytes({"model.toml": b"", "livecalc.config.json": b""}), "m.zip", 400, "has both"),
        (zip_bytes({"model.toml": b"", "../x": b""}), "m.zip", 400, "leaves the project"),
        (zip_bytes({"model.toml": b"", "manifest.json": b"{"}), "m.zip", 400, "manifest.json"),
    ],
)
def test_packages_that_are_refused(server, local, package, name, status, told):
    before = server.rows()
    answer = local.submit(package, name)
    assert answer.status_code == status, answer.text
    assert told in answer.json()["detail"]
    assert server.rows() == before


def test_a_form_without_a_package(server):
    for options in ({"files": {"file": ("m.zip", PACKAGE)}}, {"data": {"priority": "1"}}, {}):
        answer = server.http.post("/v1/jobs/submit", **options)
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"]


def test_parts_that_nobody_knows_are_passed_over(server, local):
    assert local.submit(PACKAGE, client="desktop 1.2")["status"] == "queued"
    answer = local.submit(PACKAGE, client="x" * 100_000)
    assert answer.status_code == 422


def test_a_package_that_is_too_large_is_refused_before_it_is_read(server):
    lines = (
        "POST /v1/jobs/submit HTTP/1.1",
        "host: localhost",
        "content-type: multipart/form-data; boundary=b",
        f"content-length: {103 << 20}",
        "connection: close",
    )
    with connected(server) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        answer = rest(connection)
    status, _, body = parsed(answer)
    assert status == 413
    assert "100 MiB" in json.loads(body)["detail"]


def test_paths_and_parameters_that_there_are_not(server, local):
    refused(local.get("00000000-0000-4000-8000-000000000000"), 404, "job_not_found")
    refused(local.cancel("00000000-0000-4000-8000-000000000000"), 404, "job_not_found")
    refused(local.get("../health"), 404, "not_found")
    assert local.list(status="done").status_code == 422
    assert local.list(limit="0").status_code == 422
    assert local.list(limit="101").status_code == 422
    assert local.list(colour="red").status_code == 422
    refused(local.list(cursor="nobody's"), 404, "job_not_found")
    answer = server.http.put("/v1/jobs/submit")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.json()["detail"]


def test_the_native_door_answers_as_before(server):
    answer = server.http.get("/jobs/nobody")
    assert set(answer.json()) == {"error"}


# ------------------------------------------------------------------ two tenants and a queue


@pytest.fixture(scope="module")
def issuer():
    with KeySetServer(jwk("RS256")) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def crowded(issuer, tmp_path_factory):
    """A server with an issuer, on which no job is started."""
    settings = {
        "controller": "external",
        "jwt_jwks_url": issuer.url,
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "public_url": "https://ci.example.com/models/",
        "max_concurrent_jobs": 2,
    }
    with LiveServer(tmp_path_factory.mktemp("crowded"), **settings) as server:
        yield server.start()


def as_(server, user, tenant="acme", role="submitter"):
    proof = token("RS256", sub=user, tenant_id=tenant, role=role)
    return ModelJobs(server.http, {"authorization": f"Bearer {proof}"})


def test_without_a_token_nothing_is_answered(crowded):
    nobody = ModelJobs(crowded.http)
    for answer in (nobody.submit(PACKAGE), nobody.list(), nobody.get("x"), nobody.cancel("x")):
        refused(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_jobs_are_those_of_their_tenant(crowded):
    ann, eve = as_(crowded, "ann"), as_(crowded, "eve", "globex", "admin")
    job_id = ann.submit(PACKAGE)["jobId"]
    job = ann.get(job_id)
    assert (job["tenantId"], job["userId"], job["status"]) == ("acme", "ann", "queued")
    refused(eve.get(job_id), 404, "job_not_found")
    assert job_id not in {one["jobId"] for one in eve.list()["jobs"]}
    said = refused(eve.cancel(job_id), 403, "forbidden")
    assert "acme" not in said
    assert "ann" not in said
    assert ann.get(job_id)["status"] == "queued"


def test_a_cancelled_job_is_cancelled_from_then_on(crowded):
    ann = as_(crowded, "ann")
    job_id = ann.submit(PACKAGE)["jobId"]
    assert ann.cancel(job_id) is None
    assert ann.cancel(job_id) is None  # again
    assert ann.get(job_id)["status"] == "cancelled"
    assert job_id in {one["jobId"] for one in ann.list(status="cancelled")["jobs"]}
    assert job_id not in {one["jobId"] for one in ann.list(status="queued")["jobs"]}


@pytest.mark.parametrize("status", ["initializing", "running"])
def test_a_job_under_way_is_cancelled_by_force(crowded, status):
    ann = as_(crowded, "ann", f"tenant {status}")
    job_id = ann.submit(PACKAGE)["jobId"]
    crowded.execute("UPDATE jobs SET status = ? WHERE job_id = ?", status, job_id)
    refused(ann.cancel(job_id), 409, "job_started")
    assert ann.get(job_id)["status"] == status
    assert ann.cancel(job_id, force="true") is None
    assert ann.get(job_id)["status"] == "cancelled"
    crowded.execute("UPDATE jobs SET status = 'queued' WHERE job_id = ?", job_id)


def test_pages_of_jobs(crowded):
    ann = as_(crowded, "ann", "pages")
    ids = [ann.submit(PACKAGE)["jobId"] for _ in range(5)][::-1]
    found, cursor = [], {}
    while True:
        page = ann.list(limit="2", **cursor)
        found += [one["jobId"] for one in page["jobs"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert found == ids
    assert all("token=" not in one["websocketUrl"] for one in page["jobs"])


@pytest.mark.docker
def test_an_unusable_result_does_not_break_the_list(server, local):
    """A model's hooks may write anything in the place of the result."""
    hook = (
        b"import atexit, json, os\n"
        b"def spoil():\n"
        b"    open('output/results.json', 'w').write('{\"result_hash\": \"\\\\ud800\", "
        b"\"statistics\": {\"mean_npv\": 1' + '0' * 400 + '}}')\n"
        b"atexit.register(spoil)\n"
        b"def adjust_mortality(policies, year, lives, rates):\n    return 1.0\n"
    )
    description = json.loads(models.GOLDEN_FILES["livecalc.config.json"])
    content = json.dumps({**description, "hooks": "hooks.py"}).encode()
    files = {**models.GOLDEN_FILES, "livecalc.config.json": content, "hooks.py": hook}
    job = ended(server, local, local.submit(models.zipped(files))["jobId"])
    assert (job["status"], job["resultData"]) == ("completed", None), job
    assert "cannot be used" in job["errorMessage"]
    assert job["jobId"] in {one["jobId"] for one in local.list()["jobs"]}


def test_lists_hold_the_jobs_of_this_door_only(crowded):
    headers = as_(crowded, "ann", "both")._headers
    native = crowded.http.post(
        "/submit-async", files={"file": ("p.zip", zip_bytes({"a": b""}))}, headers=headers
    )
    assert native.status_code == 200, native.text
    job_id = as_(crowded, "ann", "both").submit(PACKAGE)["jobId"]
    assert [one["jobId"] for one in as_(crowded, "ann", "both").list()["jobs"]] == [job_id]


def test_the_estimate_of_the_start(crowded):
    ann = as_(crowded, "ann", "estimates")
    assert ann.submit(PACKAGE, model_name="A")["estimatedStartTime"] is not None
    assert ann.submit(PACKAGE, model_name="A")["estimatedStartTime"] is not None
    assert ann.submit(PACKAGE, model_name="A")["estimatedStartTime"] is None


@pytest.mark.parametrize(
    "tenant", ["../../x", "..", "/etc", "a\\b", "a/b", "ten ant", "ä" * 100, "x" * 200, "%2e%2e"]
)
def test_a_tenant_is_text_and_no_path(crowded, tenant):
    before = set(crowded.directory.parent.iterdir())
    ann = as_(crowded, "ann", tenant)
    job_id = ann.submit(PACKAGE)["jobId"]
    assert ann.get(job_id)["tenantId"] == tenant
    assert set(crowded.directory.parent.iterdir()) == before


# ------------------------------------------------------------------ the URL to watch


def test_the_url_to_watch_is_the_public_one_and_opens_the_job(crowded):
    ann = as_(crowded, "ann")
    submitted = ann.submit(PACKAGE)
    for url in (submitted["websocketUrl"], ann.get(submitted["jobId"])["websocketUrl"]):
        parts = urlsplit(url)
        place = f"/models/jobs/{submitted['jobId']}/stream"
        assert (parts.scheme, parts.netloc, parts.path) == ("wss", "ci.example.com", place)
        proof = parse_qs(parts.query)["token"][0]
        seen = crowded.http.get(f"/v1/jobs/{submitted['jobId']}", params={"token": proof})
        assert seen.status_code == 200
        # Who has only such a token does not get another.
        assert "token=" not in seen.json()["websocketUrl"]
        other = ann.submit(PACKAGE)["jobId"]
        hidden = crowded.http.get(f"/v1/jobs/{other}", params={"token": proof})
        assert hidden.status_code == 404
        refusal = crowded.http.delete(f"/v1/jobs/{submitted['jobId']}", params={"token": proof})
        assert refusal.status_code == 403


def test_the_url_to_watch_is_where_the_request_came(server, local):
    url = urlsplit(local.submit(PACKAGE)["websocketUrl"])
    assert f"http://{url.netloc}" == server.url
    assert url.scheme == "ws"


@pytest.mark.parametrize("host", ["", "[", "[x]", "a b", "evil/../", "u@h", "h:99999", "\xff"])
def test_an_invalid_host_header_is_refused_before_anything_is_stored(server, host):
    before = server.rows()
    form = httpx.Request("POST", "http://x/", files={"package": ("m.zip", PACKAGE)})
    head = (
        b"POST /v1/jobs/submit HTTP/1.1",
        b"host: " + host.encode("latin-1"),
        b"content-type: " + form.headers["content-type"].encode(),
        b"content-length: " + form.headers["content-length"].encode(),
        b"connection: close",
    )
    with connected(server) as connection:
        connection.sendall(b"\r\n".join((*head, b"", form.read())))
        status, _, _ = parsed(rest(connection))
    assert status in (400, 403)
    assert server.rows() == before


def test_viewers_get_a_url_to_watch(crowded):
    job_id = as_(crowded, "ann").submit(PACKAGE)["jobId"]
    assert "token=" in as_(crowded, "vera", role="viewer").get(job_id)["websocketUrl"]
    refused(as_(crowded, "vera", role="viewer").submit(PACKAGE), 403, "forbidden")


def test_giving_a_url_away_is_in_the_audit_log_once_in_a_while(crowded):
    ann = as_(crowded, "ann", "audited")
    job_id = ann.submit(PACKAGE)["jobId"]
    for _ in range(3):
        ann.get(job_id)
    entries = crowded.execute("SELECT action FROM audit WHERE job_id = ?", job_id)
    assert sorted(action for (action,) in entries) == ["lend", "submit"]


def test_the_token_is_in_no_log(crowded):
    url = as_(crowded, "ann").submit(PACKAGE)["websocketUrl"]
    proof = parse_qs(urlsplit(url).query)["token"][0]
    crowded.http.get(f"/v1/jobs/x?token={proof}")
    assert proof not in crowded.log_tail(1000)


def test_answers_are_json_that_any_parser_takes(local):
    json.loads(json.dumps(local.list()), parse_constant=lambda name: pytest.fail(name))
