"""Every route, asked by everybody, about everybody's jobs.

The routes are those of the application's own table, and what each answer has to be follows from
the policy's table and these rules: without credentials 401; what your role never may 403; what you
may not read does not exist, 404; what you may read, but not do, 403.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ci_common.identities import new_token
from ci_common.policy import POLICY, Action, Reach
from ci_common.principal import Role
from ci_server.apis.native.openapi import access_of, routes_of
from ci_server.app import create_app
from ci_server.dashboard.pages import PAGES, UI_PATH
from support import events, models, projects
from support.access_world import ABSENT, ARTIFACT, OPERATOR, SAM, access_world

OK, ACCEPTED = (200, None), (202, None)
FORBIDDEN = (403, "forbidden")

_OF_THE_REQUEST = {"date", "x-request-id"}


@dataclass(frozen=True)
class Request:
    """What a route does, and the status and error code for those who may."""

    action: Action | None
    """`None` for a route for everybody."""
    answer: tuple = OK
    by_state: dict = field(default_factory=dict)
    """The answers about jobs in these states, where they are others."""
    submits: bool = False
    cancels: bool = False
    form: Callable | None = None
    """What is sent, made from the server."""
    tells_of_others: bool = False
    """Whether a job that one may not read is 403 rather than 404: docs/security.md says so."""

    without_cookie: bool = False
    """Whether it is asked without the cookie that it would make worthless for the next request."""

    def allowed(self, target):
        return self.by_state.get(target.state, self.answer) if target else self.answer


def project_form(server):
    return server.form(projects.ANY)


def model_form(server):
    return {"files": {"package": ("model.zip", models.zipped(models.SMALL))}}


def control_question(server):
    return {"json": {"query": "IL-4 on B cells", "control_strategy": "query_as_control"}}


def everything(_server):
    return {
        "json": {
            "query": "{jobs{nodes{job_id user tenant command artifacts{path}} total} "
            "events(stored:true){nodes{job_id user facts}} usage{tenants{tenant}}}"
        }
    }


def run_json(_server):
    return {"json": {"query": "How do CD4 T cells respond to interferon-beta?"}}


def wrong_key(_server):
    return {"json": {"api_key": new_token()}}


SUBMISSION = Request(Action.SUBMIT, submits=True, form=project_form)
CANCELLATION = Request(Action.CANCEL, ACCEPTED, {"completed": (409, "job_finished")}, cancels=True)
READING = Request(Action.READ)

GET_HEAD = ("GET", "HEAD")
REQUESTS = {
    "POST /submit": SUBMISSION,
    "POST /submit-stream": SUBMISSION,
    "POST /submit-async": SUBMISSION,
    "GET /limits": Request(Action.SUBMIT),
    "GET /server": Request(Action.LIST),
    "GET /jobs": Request(Action.LIST),
    "GET /jobs/trends": Request(Action.LIST),
    "GET /events": Request(Action.LIST),
    "GET /streams/events": Request(Action.LIST),
    "HEAD /streams/events": Request(Action.LIST),
    "GET /streams/jobs/{job_id}/log": READING,
    "HEAD /streams/jobs/{job_id}/log": READING,
    "GET /jobs/{job_id}": READING,
    "DELETE /jobs/{job_id}": CANCELLATION,
    "POST /jobs/{job_id}/cancel": CANCELLATION,
    "GET /jobs/{job_id}/stream": READING,
    "GET /jobs/{job_id}/logs": READING,
    "GET /jobs/{job_id}/resources": READING,
    "GET /jobs/{job_id}/coverage": READING,
    "GET /jobs/{job_id}/logs/marks": READING,
    "GET /jobs/{job_id}/logs/position": READING,
    "GET /jobs/{job_id}/logs/search": Request(Action.READ, (400, "invalid_search")),
    "GET /jobs/{job_id}/artifacts": READING,
    "GET /jobs/{job_id}/artifacts/{path}": Request(
        Action.READ, (404, "artifact_not_found"), {"completed": OK}
    ),
    "HEAD /jobs/{job_id}/artifacts/{path}": Request(
        Action.READ, (404, "artifact_not_found"), {"completed": OK}
    ),
    "GET /artifacts/{job_id}/{path}": Request(None, (403, "invalid_grant")),
    "HEAD /artifacts/{job_id}/{path}": Request(None, (403, "invalid_grant")),
    "POST /jobs/{job_id}/previews": Request(Action.PREVIEW, (201, None)),
    "GET /preview/{grant}/{path}": Request(None, (403, "invalid_grant")),
    "HEAD /preview/{grant}/{path}": Request(None, (403, "invalid_grant")),
    "POST /jobs/{job_id}/token": Request(Action.ISSUE_TOKEN),
    "POST /jobs/{job_id}/rerun": Request(Action.RERUN, (409, "not_rerunnable")),  # all are runs'
    "GET /usage": Request(Action.USAGE),
    "GET /metrics": Request(Action.METRICS),
    "POST /graphql": Request(Action.LIST, form=everything),
    "GET /whoami": Request(Action.LIST),
    "GET /session": Request(None),
    "POST /session": Request(None, (401, "invalid_credentials"), form=wrong_key),
    "DELETE /session": Request(None, (204, None), without_cookie=True),
    "GET /sessions": Request(Action.SESSIONS),
    "DELETE /sessions": Request(Action.SESSIONS),
    "DELETE /sessions/{session_id}": Request(Action.SESSIONS, (404, "session_not_found")),
    "GET /session/oidc/start": Request(None, (404, "not_found")),  # no issuer is set up
    "GET /session/oidc/callback": Request(None, (404, "not_found")),
    "GET /": Request(None),
    "HEAD /": Request(None),
    "GET /docs": Request(None),
    "GET /docs/assets/{path}": Request(None, (404, "not_found")),
    "GET /ui": Request(None, (307, None)),
    "HEAD /ui": Request(None, (307, None)),
    "GET /ui/assets/{path}": Request(None, (404, "not_found")),
    "HEAD /ui/assets/{path}": Request(None, (404, None)),
    "GET /ui/{path}": Request(None, (404, "not_found")),
    "HEAD /ui/{path}": Request(None, (404, None)),
    **{f"{method} {UI_PATH}{page.path}": Request(None) for page in PAGES for method in GET_HEAD},
    "POST /v1/jobs/submit": Request(Action.SUBMIT, (201, None), submits=True, form=model_form),
    "GET /v1/jobs": Request(Action.LIST),
    "GET /v1/jobs/{job_id}": READING,
    "DELETE /v1/jobs/{job_id}": Request(
        Action.CANCEL,
        (204, None),
        {"running": (409, "job_started"), "completed": (409, "job_finished")},
        cancels=True,
        tells_of_others=True,
    ),
    "GET /api/v1/metadata/perturbations": Request(Action.LIST),
    "GET /api/v1/metadata/cell-types": Request(Action.LIST),
    "GET /api/v1/metadata/datasets": Request(Action.LIST),
    "POST /api/v1/runs/validate-control-strategy": Request(Action.SUBMIT, form=control_question),
    "POST /api/v1/runs": Request(Action.SUBMIT, submits=True, form=run_json),
    "GET /api/v1/runs": Request(Action.LIST),
    "GET /api/v1/runs/{run_id}": READING,
    "GET /api/v1/runs/{run_id}/stream": READING,
    "GET /api/v1/runs/{run_id}/result": Request(
        Action.READ, (400, "run_not_completed"), {"completed": OK}
    ),
    "POST /api/v1/runs/{run_id}/cancel": Request(
        Action.CANCEL, OK, {"completed": (400, "run_not_cancellable")}, cancels=True
    ),
    "GET /health": Request(None),
    "GET /ready": Request(None, (503, "not_ready")),  # no controller runs
    "GET /api/v1/health": Request(None),
    "GET /api/v1/health/ready": Request(None, (503, "not_ready")),
}

ROUTES = {
    f"{method} {route.path_format}": access_of(route)
    for route in routes_of(create_app())
    for method in sorted(route.methods)
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with access_world(tmp_path_factory.mktemp("matrix")) as world:
        yield world


# ------------------------------------------------------------------ what has to be


def reach_of(caller, action):
    if caller.only_job is not None and action is not Action.READ:
        return Reach.NONE
    if action is Action.METRICS and caller.tenant != OPERATOR:
        return Reach.NONE  # they are of all tenants
    operates = caller.role is Role.ADMIN and caller.tenant == OPERATOR
    # Rerunning takes nothing from one tenant to another, and sessions are everybody's own.
    if operates and action not in (Action.RERUN, Action.SESSIONS):
        return Reach.ALL
    return POLICY[caller.role][action]


LEAST = {"tenant": Reach.SHARED, "viewers": Reach.VIEWED, "private": Reach.TENANT}
"""What one has to reach of the jobs of others in one's tenant."""


def reaches(caller, action, job_id, user, tenant, visibility):
    """Whether the caller may do this to the job of this user."""
    reach = reach_of(caller, action)
    if reach is Reach.NONE or caller.only_job not in (None, job_id):
        return False
    if reach is Reach.ALL:
        return True
    return tenant == caller.tenant and (reach >= LEAST[visibility] or user == caller.user)


def may(caller, action, target):
    about = (target.job_id, target.user, target.tenant, target.visibility.value)
    known = caller.role is not None and target.job_id != ABSENT
    return known and reaches(caller, action, *about)


def kind_of(name):
    """What a route's path names: a `job`, a `run`, or nothing."""
    return next((kind for kind in ("job", "run") if f"{{{kind}_id}}" in name), None)


def expected(name, caller, target):
    """Status and error code of the answer to the caller."""
    action, allowed = REQUESTS[name].action, REQUESTS[name].allowed(target)
    if action is None:
        return allowed
    if caller.refused:
        return 401, caller.refused
    if reach_of(caller, action) is Reach.NONE:
        return FORBIDDEN
    if target is None:
        return allowed
    if not may(caller, Action.READ, target):
        is_told = REQUESTS[name].tells_of_others and target.job_id != ABSENT
        return FORBIDDEN if is_told else (404, f"{kind_of(name)}_not_found")
    return allowed if may(caller, action, target) else FORBIDDEN


def expected_changes(name, caller, target, answer, rows):
    """The rows that are other ones afterwards; of a new job the id is not known before."""
    request = REQUESTS[name]
    if request.submits and answer == request.answer:
        return [(caller.tenant, caller.user, "tenant", "queued", 0)]
    if request.cancels and answer == request.answer:
        return [(*rows[target.job_id][:-1], 1)]
    return []


def hidden_from(caller, targets, *asked):
    """What no answer to the caller may hold: ids, owners, commands, logs, artifacts of others.

    But for Sam, who is in both tenants.
    """
    hidden, shown = set(), {caller.user, caller.tenant, SAM, *asked}
    for job in targets:
        (shown if may(caller, Action.READ, job) else hidden).update(job.words())
    return hidden - shown


# ------------------------------------------------------------------ what is


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict
    method: str

    @property
    def outcome(self):
        if self.method == "HEAD":
            assert not self.text
            return self.status, None
        code = None if self.status < 400 else json.loads(self.text)["error"]["code"]
        return self.status, code

    def without(self, target):
        """What is left when the ids of the job and of the request are taken out."""
        headers = {k: v for k, v in self.headers.items() if k not in _OF_THE_REQUEST}
        text = self.text.replace(self.headers["x-request-id"], "REQUEST")
        told = f"{self.status} {headers} {text}"
        return told.replace(target.job_id, "ID").replace(target.run_id, "ID")


def ask(world, name, caller, target=None, **params):
    """One request; of a stream that goes on only the first piece is read."""
    method, path = name.split(" ")
    ids = {"job_id": target.job_id, "run_id": target.run_id} if target else {}
    make_form = REQUESTS[name].form
    form = make_form(world.server) if make_form else {}
    headers = dict(caller.headers)
    if REQUESTS[name].without_cookie:
        headers.pop("cookie", None)
    with world.server.http.stream(
        method,
        path.format(**ids, path=ARTIFACT, grant="pv1.e30.x", session_id="0123456789ab"),
        headers=headers,
        params={**caller.params, **params},
        **form,
    ) as answer:
        streams = answer.headers.get("content-type", "").startswith("text/event-stream")
        goes_on = streams and (target is None or target.state != "completed")
        text = next(answer.iter_text()) if goes_on else answer.read().decode()
        return Answer(answer.status_code, text, dict(answer.headers), method)


def problems_of(world, name, caller, target, before, answer):
    """What is wrong with an answer, and with what it did to the rows."""
    wanted = expected(name, caller, target)
    if answer.method == "HEAD":
        wanted = (wanted[0], None)  # an error has no body, either
    if answer.outcome != wanted:
        yield f"{answer.outcome} instead of {wanted}"
    changes = [row for job_id, row in world.rows().items() if before.get(job_id) != row]
    if changes != expected_changes(name, caller, target, wanted, before):
        yield f"changed the rows to {changes}"
    asked = (target.job_id, target.run_id) if target else ()
    for word in hidden_from(caller, world.targets, *asked):
        if word in answer.text or word in str(answer.headers):
            yield f"tells {word!r}"


# ------------------------------------------------------------------ the matrix


def check_it_is_known(name):
    assert name in REQUESTS, (
        f"{name} is new here: add to REQUESTS of this module what it does, and what it "
        "answers to those who may"
    )


@pytest.mark.parametrize("name", ROUTES)
def test_everybody_gets_what_the_policy_says(world, name):
    check_it_is_known(name)
    targets = world.targets if kind_of(name) else (None,)
    problems = []
    for caller in world.callers:
        not_there = set()
        for target in targets:
            before = world.rows()
            answer = ask(world, name, caller, target)
            found = problems_of(world, name, caller, target, before, answer)
            problems += [f"{caller}, about {target}: {problem}" for problem in found]
            world.forget_cancellations()
            is_hidden = target and not REQUESTS[name].tells_of_others
            if is_hidden and not may(caller, Action.READ, target):
                not_there.add(answer.without(target))
        if len(not_there) > 1:
            problems.append(f"{caller} can tell from {not_there} which jobs there are")
    assert not problems, f"{name}:\n" + "\n".join(problems)


# ------------------------------------------------------------------ queries

PAGE = 20
QUERY = (
    "{jobs(limit:20){nodes{job_id artifacts{path} command settings{command}} total} "
    "mine:jobs(mine:true, limit:20){nodes{job_id}} %s}"
)
TOTALS = '{usage{tenants{tenant}} trends(name:["test"]){tenant runs{success}}}'


@pytest.fixture
def submitted_by_ci(world):
    """The world's jobs are runs; those have no trends."""
    world.database.execute("UPDATE jobs SET door = 'native'")
    yield
    world.database.execute("UPDATE jobs SET door = 'runs'")


def test_a_query_finds_what_the_routes_find(world, submitted_by_ci):
    there = [target.job_id for target in world.targets]
    fields = " ".join(f'j{at}:job(id:"{job_id}"){{job_id}}' for at, job_id in enumerate(there[:8]))
    for caller in world.callers:
        if caller.refused or reach_of(caller, Action.LIST) is Reach.NONE:
            continue
        http, about = world.server.http, {"headers": caller.headers, "params": caller.params}
        told = http.post("/graphql", json={"query": QUERY % fields}, **about).json()
        every = {**caller.params, "limit": 1000}
        jobs = http.get("/jobs", headers=caller.headers, params=every).json()
        listed = [job["job_id"] for job in jobs]
        own = {**caller.params, "mine": True, "limit": PAGE}
        mine = http.get("/jobs", headers=caller.headers, params=own)
        found = told["data"]["jobs"]
        assert [node["job_id"] for node in found["nodes"]] == listed[:PAGE], str(caller)
        assert found["total"] == len(listed)
        for node in found["nodes"]:
            assert node["settings"]["command"] == node["command"]
        assert told["data"]["mine"]["nodes"] == [{"job_id": job["job_id"]} for job in mine.json()]
        for at, job_id in enumerate(there[:8]):
            expected = {"job_id": job_id} if job_id in listed else None
            assert told["data"][f"j{at}"] == expected, f"{caller}: {job_id}"
        codes = {error["extensions"]["code"] for error in told.get("errors", ())}
        assert codes <= {"job_not_found"}
        usage = http.post("/graphql", json={"query": TOTALS}, **about).json()
        ended = Counter(job["tenant"] for job in jobs if job["status"] == "completed")
        trends = {trend["tenant"]: len(trend["runs"]) for trend in usage["data"]["trends"]}
        assert trends == ended, str(caller)
        if reach_of(caller, Action.USAGE) is Reach.NONE:
            assert usage["errors"][0]["extensions"] == {"code": "forbidden"}
        else:
            assert "errors" not in usage


# ------------------------------------------------------------------ events of all jobs


def told_of(world, caller, wanted):
    """The jobs of which the stream of events tells, until it has told of those that are wanted."""
    params = {**caller.params, "stored": True}
    found = set()
    with events.streaming(
        world.server.http, "GET", "/events", headers=dict(caller.headers), params=params
    ) as stream:
        for event in stream:
            if event.type == "job":
                found.add(event.data["job_id"])
            if found >= wanted:
                return found
    return found


def test_the_stream_of_events_tells_of_what_one_may_list(world):
    there = [target for target in world.targets if target.job_id != ABSENT]
    for caller in world.callers:
        if caller.refused or caller.role is None:
            continue
        if reach_of(caller, Action.LIST) is Reach.NONE:
            continue
        wanted = {target.job_id for target in there if may(caller, Action.LIST, target)}
        if wanted:
            assert told_of(world, caller, wanted) == wanted, caller


# ------------------------------------------------------------------ WebSockets

STREAM = "GET /jobs/{job_id}/stream"


def open_socket(world, caller, target, **headers):
    """The answer to the opening of a job's stream as a WebSocket; of one that opens, its first
    message.
    """
    path = f"/jobs/{target.job_id}/stream?{urlencode(caller.params)}"
    url = world.server.url.replace("http", "ws") + path
    try:
        with connect(url, additional_headers={**caller.headers, **headers}, proxy=None) as socket:
            return Answer(101, socket.recv(20), dict(socket.response.headers.items()), "GET")
    except InvalidStatus as error:
        answer = error.response
        found = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status_code, answer.body.decode(), found, "GET")


def test_websockets_are_for_those_who_may_read(world):
    problems = []
    for caller in world.callers:
        not_there = set()
        for target in world.targets:
            wanted = expected(STREAM, caller, target)
            answer = open_socket(world, caller, target)
            if answer.outcome != ((101, None) if wanted == OK else wanted):
                problems.append(f"{caller}, about {target}: {answer} instead of {wanted}")
            for word in hidden_from(caller, world.targets, target.job_id):
                if word in answer.text or word in str(answer.headers):
                    problems.append(f"{caller}, about {target}: tells {word!r}")
            if not may(caller, Action.READ, target):
                not_there.add(answer.without(target))
        if len(not_there) > 1:
            problems.append(f"{caller} can tell from {not_there} which jobs there are")
    assert not problems, "\n".join(problems)


def test_pages_of_other_origins_open_websockets_only_with_a_proof_of_their_own(world):
    """What a proxy in front of the server makes of a cookie is there for every page."""
    kinds = set()
    for caller in world.callers:
        target = next((one for one in world.targets if may(caller, Action.READ, one)), None)
        if target is None or caller.refused:
            continue
        brings_proof = bool(caller.params) or "authorization" in map(str.lower, caller.headers)
        answer = open_socket(world, caller, target, Origin="https://evil.example")
        assert answer.outcome == ((101, None) if brings_proof else FORBIDDEN), caller
        assert open_socket(world, caller, target, Origin=world.server.url).status == 101, caller
        kinds.add((caller.kind, brings_proof))
    assert {("IAP assertion", False), ("IAP header", False), ("JWT", True)} <= kinds


def test_a_route_that_nobody_added_here_is_found():
    with pytest.raises(AssertionError, match="add to REQUESTS"):
        check_it_is_known("GET /jobs/{job_id}/new")


def test_routes_name_the_action_that_they_are():
    """The job service asks the policy, too; but refusals before it are recorded by this name."""
    named = {name: access and access.action for name, access in ROUTES.items()}
    assert named == {name: request.action for name, request in REQUESTS.items()}


def test_the_matrix_is_whole(world):
    """Every kind of credentials, with every role it can have, beside every kind of owner."""

    def relation(caller, target):
        if caller.tenant == OPERATOR:
            return "operator"
        if caller.tenant != target.tenant:
            return "namesake" if caller.user == target.user else "other tenant"
        return "owner" if caller.user == target.user else "same tenant"

    found = {
        (caller.kind, caller.role, relation(caller, target))
        for caller in world.callers
        for target in world.targets
        if target.job_id != ABSENT
    }
    usual = ("owner", "same tenant", "other tenant")
    of_proxy = itertools.product(
        ("IAP assertion", "IAP header"), (Role.SUBMITTER,), (*usual, "namesake")
    )
    wanted = {
        *itertools.product(("API key", "JWT"), Role, (*usual, "operator")),
        *itertools.product(("session",), Role, (*usual, "operator")),
        *itertools.product(("JWT",), Role, ("namesake",)),
        *of_proxy,
        ("stream token of API key", Role.VIEWER, "same tenant"),
        ("stream token of API key", Role.ADMIN, "operator"),
        ("stream token of IAP header", Role.SUBMITTER, "owner"),
    }
    assert wanted <= found
    assert {caller.refused for caller in world.callers} == {
        None,
        "unauthenticated",
        "invalid_credentials",
    }


# ------------------------------------------------------------------ lists, cursors, usage


def listers(world):
    for caller in world.callers:
        if caller.role and reach_of(caller, Action.LIST):
            yield caller


def visible(world, caller, status=None):
    """The ids the caller's list has to have, newest first."""
    return [
        job_id
        for job_id, (tenant, user, visibility, state, _) in world.rows().items()
        if reaches(caller, Action.LIST, job_id, user, tenant, visibility)
        and status in (None, state)
    ]


def ids(answer):
    assert answer.status == 200, answer.text
    return [job["job_id"] for job in json.loads(answer.text)]


def test_lists_hold_what_may_be_seen_and_nothing_else(world):
    for caller in listers(world):
        assert ids(ask(world, "GET /jobs", caller, limit=1000)) == visible(world, caller), caller
        found = ids(ask(world, "GET /jobs", caller, limit=1000, status="completed"))
        assert found == visible(world, caller, "completed"), caller


def test_pages_hold_what_may_be_seen_and_nothing_else(world):
    for caller in listers(world):
        wanted = visible(world, caller)
        found, page = [], {"limit": len(wanted) // 3 + 1}
        while True:
            answer = ask(world, "GET /jobs", caller, **page)
            found += ids(answer)
            if "x-next-cursor" not in answer.headers:
                break
            page["cursor"] = answer.headers["x-next-cursor"]
        assert found == wanted, caller


def test_a_job_that_may_not_be_seen_is_no_cursor(world):
    for caller in listers(world):
        seen, refusals = visible(world, caller), set()
        for target in world.targets:
            answer = ask(world, "GET /jobs", caller, cursor=target.job_id, limit=1000)
            if target.job_id in seen:
                assert ids(answer) == seen[seen.index(target.job_id) + 1 :], caller
            else:
                assert answer.outcome == (404, "job_not_found"), caller
                refusals.add(answer.without(target))
        assert len(refusals) == 1, caller


def test_usage_is_that_of_whom_one_administers(world):
    for caller in world.callers:
        if caller.role and (reach := reach_of(caller, Action.USAGE)):
            rows = world.rows().values()
            tenants = {row[0] for row in rows} if reach is Reach.ALL else {caller.tenant}
            told = json.loads(ask(world, "GET /usage", caller).text)["tenants"]
            queued = {
                tenant: sum(row[0] == tenant and row[3] == "queued" for row in rows)
                for tenant in tenants
            }
            assert {usage["tenant"]: usage["jobs"]["queued"] for usage in told} == queued, caller
