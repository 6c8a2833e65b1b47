"""POST /graphql on a real server: the same jobs, events and usage as the routes of the HTTP API."""

import json
from dataclasses import replace

import anyio
import pytest

from ci_common.job import (
    Artifact,
    CaseResult,
    CoverageSummary,
    JobStatus,
    Outcome,
    Reason,
    SuiteSummary,
)
from ci_common.ports.rows import Ending
from ci_common.resources import ResourceSample, ResourceSeries
from support import projects
from support.jobs import NOON
from support.live_server import ROOT, LiveServer
from support.rows import Rows

TESTS = SuiteSummary(
    3, 1, 1, 1, 0, 1.5, (CaseResult("t::a", 0.5, "no"),), (CaseResult("t::b", 1.0),)
)
USED = ResourceSeries(1, 2.0, (ResourceSample(2.0, 0.5, 100), ResourceSample(4.0, 3.0, 1 << 40)))
SETTINGS = """settings{image command env secrets install artifacts retries priority tty color
limits{timeout_seconds cpu_percent memory_mb pids network block_io_bytes shm_mb log_mb
grace_seconds} package_available} """
POINTS = "interval_seconds points{seconds cpu_cores memory_bytes}"
TOTALS = "cpu_seconds peak{cpu_cores memory_bytes}"
SCALARS = """job_id name status success submit_time start_time end_time cancel_requested_at
exit_code reason message command image secrets timeout tenant user package_size package_sha256
log_size log_dropped priority attempt artifacts_size artifacts_left_out title labels private
rerun_of coverage{lines_covered lines_total branches_covered branches_total rate}
git{commit branch dirty describe remote} """
COUNTS = "total passed failed errors skipped seconds "
CASES = "{name seconds message file line}"
LISTED = f"{SCALARS} tests{{{COUNTS}}} waiting{{reason message ahead}}"
WHOLE = (
    f"{SCALARS} tests{{{COUNTS} failures{CASES} slowest{CASES}}} waiting{{reason message ahead}}"
)


def post(server, query=None, **variables):
    body = {"query": query, "variables": variables}
    return server.http.post("/graphql", json=body)


def data(server, query, **variables):
    answer = post(server, query, **variables)
    assert answer.status_code == 200, answer.text
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


async def fill(server):
    """Give some of the server's jobs an end, with all that a job may leave."""
    rows = await Rows().open(server.database)
    jobs = {job.spec.labels.get("end"): job for job in await rows.transitions.active()}
    for name, outcome in {
        "passed": Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 0", 0),
        "failed": Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 1", 1),
        "timeout": Outcome(JobStatus.FAILED, Reason.TIMEOUT, "took too long"),
        "cancelled": Outcome(JobStatus.CANCELLED, Reason.CANCELLED, "by ann"),
    }.items():
        job_id = jobs[name].job_id
        await rows.transitions.claim(job_id)
        if name != "cancelled":
            await rows.transitions.mark_running(job_id, NOON)
        ending = Ending(outcome, 5 << 32)
        if name == "failed":
            ending = replace(
                ending,
                log_dropped=None,
                artifacts=tuple(Artifact(f"out/{n}", n, "0" * 64, NOON) for n in range(5)),
                tests=TESTS,
                coverage=CoverageSummary(1, 3),
                resources=USED,
            )
        await rows.transitions.finish(job_id, ending, NOON.replace(hour=13))
    await rows.transitions.claim(jobs["started"].job_id)
    await rows.database.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Without a controller: its jobs stay as they are."""
    with LiveServer(tmp_path_factory.mktemp("queries"), controller="external") as server:
        server.start()
        for number, end in enumerate(
            ("passed", "failed", "timeout", "cancelled", "started", "waiting", "waiting")
        ):
            spec = {
                "command": ["make", end, f"-j{number}"],
                "labels": {"end": end, "team": "ab"[number % 2]},
                "private": end == "waiting",
                "git": {"commit": "a" * 40, "branch": "main"},
            }
            form = server.form(projects.ANY)
            answer = server.http.post(
                "/submit-async", **{**form, "data": {"spec": json.dumps(spec)}}
            )
            assert answer.status_code == 200, answer.text
        anyio.run(fill, server)
        yield server


def known(job, *, listed):
    """A job of the HTTP API as GraphQL tells it."""
    job = {name: value for name, value in job.items() if name not in ("settings", "resources")}
    job = {**job, "log_dropped": None if job["log_dropped"] == "unknown" else job["log_dropped"]}
    if listed and job["tests"]:
        job["tests"] = {name: job["tests"][name] for name in COUNTS.split()}
    return job


FILTERS = [
    ("", ""),
    *((f"status:{one}", f"status={one}") for one in JobStatus),
    *((f"outcome:{one}", f"outcome={one}") for one in ("passed", "failed", "cancelled", "running")),
    (
        'outcome:failed status:completed reason:"exit"',
        "outcome=failed&status=completed&reason=exit",
    ),
    ('user:"local" mine:true', "user=local&mine=true"),
    ('user:"ann"', "user=ann"),
    ('name:"test"', "name=test"),
    ('label:["team:a","end:passed"]', "label=team:a&label=end:passed"),
    ('since:"2026-01-01" until:"2100-01-01T00:00:00+02:00"', "since=2026-01-01"),
    ('until:"2020-01-01"', "until=2020-01-01"),
    ('q:"MAKE failed"', "q=MAKE+failed"),
    ("sort:OLDEST", "sort=submitted"),
    ("sort:LAST_ENDED", "sort=-ended"),
    ("sort:SHORTEST limit:2", "sort=duration&limit=2"),
    ("sort:LONGEST limit:1", "sort=-duration&limit=1"),
    ("limit:3 sort:NEWEST", "limit=3&sort=-submitted"),
]


@pytest.mark.parametrize(("arguments", "params"), FILTERS)
def test_the_same_filters_find_the_same_jobs(server, arguments, params):
    listed = server.http.get(f"/jobs?{params}&total=true")
    assert listed.status_code == 200, listed.text
    limit = "" if "limit" in arguments else "limit:100"
    query = f"{{jobs({limit} {arguments}){{nodes{{{LISTED}}} next_cursor total}}}}"
    jobs = data(server, query)["jobs"]
    assert jobs["nodes"] == [known(job, listed=True) for job in listed.json()]
    assert jobs["total"] == int(listed.headers["X-Total-Count"])
    assert jobs["next_cursor"] == listed.headers.get("X-Next-Cursor")


def test_a_list_of_ids(server):
    some = [job["job_id"] for job in server.http.get("/jobs").json()][1:3]
    found = data(server, "query($ids:[String!]){jobs(id:$ids){nodes{job_id}}}", ids=[*some, "none"])
    assert [node["job_id"] for node in found["jobs"]["nodes"]] == some


def test_pages_are_the_whole_list(server):
    query = "query($at:String){jobs(limit:2 cursor:$at){nodes{job_id} next_cursor}}"
    seen, cursor = [], None
    while True:
        page = data(server, query, at=cursor)["jobs"]
        seen += [job["job_id"] for job in page["nodes"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [job["job_id"] for job in server.http.get("/jobs").json()]


def test_one_job_is_as_its_route_says_with_what_it_left(server):
    for job in server.http.get("/jobs").json():
        found = data(server, f"query($id:String!){{job(id:$id){{{WHOLE}}}}}", id=job["job_id"][:9])
        assert found["job"] == known(server.job(job["job_id"]), listed=False)
    query = """{jobs(label:"end:failed"){nodes{
      job_id all:artifacts{path size sha256 modified} artifacts(limit:2){path}}}}"""
    [failed] = data(server, query)["jobs"]["nodes"]
    listed = server.http.get(f"/jobs/{failed['job_id']}/artifacts").json()
    assert failed["all"] == listed
    assert failed["artifacts"] == [{"path": one["path"]} for one in listed[:2]]


def test_settings_resources_and_trends_are_as_their_routes_say(server):
    query = f"{{jobs(limit:10){{nodes{{job_id {SETTINGS} resources{{{TOTALS} {POINTS}}}}}}}}}"
    nodes = data(server, query)["jobs"]["nodes"]
    assert [node["resources"] is not None for node in nodes].count(True) == 1
    for node in nodes:
        job = server.job(node["job_id"])
        assert node["settings"] == job["settings"]
        told = server.http.get(f"/jobs/{node['job_id']}/resources").json()
        if found := node["resources"]:
            assert found == {name: told[name] for name in found}
            assert job["resources"] == {name: found[name] for name in ("cpu_seconds", "peak")}
        else:
            assert (job["resources"], told["points"]) == (None, [])
    trends = data(
        server,
        "query($names:[String!]!){trends(name:$names){tenant name passed runs{success seconds}}}",
        names=["test", "none"],
    )["trends"]
    assert trends == server.http.get("/jobs/trends?name=test&name=none").json()
    assert [run["success"] for run in trends[0]["runs"]].count(True) == trends[0]["passed"] == 1
    assert data(server, "{trends(name:[]){name}}") == {"trends": []}
    names = [f"name{number}" for number in range(51)]
    told = post(server, "query($names:[String!]!){trends(name:$names){name}}", names=names).json()
    assert told["errors"][0]["extensions"] == {"code": "invalid_request"}
    assert told["errors"][0]["message"] == "name: must not be given more than 50 times"


def test_events_and_usage_are_as_their_routes_say(server):
    fields = "nodes{seq job_id kind at tenant user private facts} cursor has_more gone"
    query = f"""query($after:String $first:Boolean){{
      events(after:$after stored:$first limit:4){{{fields}}}}}"""
    seen, page = [], data(server, query, first=True)["events"]
    while page["nodes"]:
        seen += page["nodes"]
        page = data(server, query, after=page["cursor"])["events"]
    assert not page["has_more"]
    streamed = []
    with server.http.stream("GET", "/events?stored=true") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and '"job"' in line:
                streamed.append(json.loads(line.removeprefix("data: ")))
            if len(streamed) == len(seen):
                break
    assert [{"type": "job", **event} for event in seen] == streamed
    kinds = data(server, "{events(stored:true kind:[finished cancel_requested]){nodes{kind}}}")
    assert [node["kind"] for node in kinds["events"]["nodes"]] == ["finished"] * 4
    assert data(server, "{events{nodes{seq} cursor}}")["events"] == {
        "nodes": [],
        "cursor": page["cursor"],
    }
    gone = data(server, f'{{events(after:"other.5"){{{fields}}}}}')["events"]
    assert gone["gone"]
    assert gone["has_more"]
    assert data(server, query, after=gone["cursor"])["events"]["gone"] is False

    usage = data(
        server,
        """{usage{limits{running_jobs_per_tenant live_jobs_per_tenant
      live_jobs_per_user stored_bytes_per_tenant} tenants{tenant
      jobs{queued initializing running finished} bytes{packages logs artifacts total}}}}""",
    )
    assert usage["usage"] == server.http.get("/usage").json()


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ("limit:0", "invalid_request", "limit"),
        ("limit:1001", "query_too_complex", ""),
        ("limit:null", "invalid_request", "limit"),
        ('since:"yesterday"', "invalid_request", "since"),
        ('label:["team"]', "invalid_request", "label"),
        ('q:" "', "invalid_request", "q"),
        ('user:""', "invalid_request", "user"),
        ('reason:"bad luck"', "invalid_request", "reason"),
        ("status:sleeping", "invalid_query", "sleeping"),
        ('cursor:"nonsense"', "job_not_found", "nonsense"),
    ],
)
def test_bad_arguments_have_the_code_of_the_http_api(server, arguments, code, word):
    answer = post(server, f"{{jobs({arguments}){{nodes{{{'name ' * 11}}}}}}}")
    told = answer.json()
    assert [error["extensions"]["code"] for error in told["errors"]] == [code]
    assert word in told["errors"][0]["message"]
    assert answer.status_code == (400 if code in ("invalid_query", "query_too_complex") else 200)
    assert told.get("data") in (None, {"jobs": None})


def test_what_is_not_found_leaves_the_rest(server):
    told = post(server, '{job(id:"ffff-0000"){name} usage{tenants{tenant}}}').json()
    assert told["errors"][0]["extensions"] == {"code": "job_not_found"}
    assert told["errors"][0]["path"] == ["job"]
    assert told["data"] == {"job": None, "usage": {"tenants": [{"tenant": "local"}]}}


def test_only_one_json_object_is_a_request(server):
    query = {"query": "{usage{tenants{tenant}}}"}
    refused = [
        server.http.post("/graphql", json=[query, query]),
        server.http.post("/graphql", json={**query, "id": 1}),
        server.http.post("/graphql", json={"query": 1}),
        server.http.post("/graphql", json={}),
        server.http.post("/graphql", json={**query, "variables": []}),
        server.http.post("/graphql", content=query["query"]),
        server.http.post("/graphql", data=query),
        server.http.post("/graphql?query=x", json=query),
        server.http.post(
            "/graphql",
            content=b'{"query":"{a}","query":"{b}"}',
            headers={"Content-Type": "application/json"},
        ),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    large = server.http.post("/graphql", json={"query": "#" + "x" * (64 << 10)})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "upload_too_large")
    assert server.http.get("/graphql", params=query).status_code == 405


def test_the_kind_of_answer_that_newer_clients_ask_for(server):
    kind = "application/graphql-response+json"
    answer = server.http.post("/graphql", json={"query": "{nope}"}, headers={"Accept": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (400, kind)
    assert post(server, "{nope}").headers["content-type"] == "application/json"


def test_a_server_without_the_library_says_so(own_server, tmp_path):
    """Installed without the extra: everything else works."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['graphql'] = None\n")
    environment = {"PYTHONPATH": f"{hidden}:{ROOT}"}
    server = own_server(environment=environment, controller="external").start()
    answer = post(server, "{usage{tenants{tenant}}}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "graphql_unavailable")
    assert "pip install 'ci-runner[graphql]'" in answer.json()["error"]["message"]
    assert server.http.get("/jobs").json() == []
