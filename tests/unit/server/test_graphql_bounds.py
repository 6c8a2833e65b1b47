"""Queries that cost too much are refused before anything is looked up; what is left is bounded."""

import asyncio
import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from graphql import build_schema, get_introspection_query, lexicographic_sort_schema, print_schema

from ci_common.job import Artifact
from ci_common.ports.trends import JobTrend, TrendRun
from ci_common.principal import LOCAL_PRINCIPAL
from ci_common.resources import ResourceSample, ResourceSeries
from ci_server.apis.graphql import engine
from ci_server.apis.graphql.cost import MOST_SELECTIONS
from ci_server.apis.graphql.query import QueryServices, Question
from ci_server.apis.native.lists import Filters
from support.jobs import a_job

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.anyio


class Jobs:
    """A service with as many jobs as are asked for, which counts its calls."""

    def __init__(self, command=("true",)):
        self.calls = []
        self.job = a_job(command=command)

    async def list_jobs(self, principal, query, *, mine):
        self.calls.append("list")
        return [replace(self.job, job_id=f"{number:036}") for number in range(query.limit)]

    async def count_jobs(self, principal, query, *, mine):
        self.calls.append("count")
        await asyncio.sleep(0)
        return 7

    async def artifacts_of(self, principal, jobs, most):
        self.calls.append(f"artifacts of {len(jobs)}")
        return {jobs[0].job_id: [Artifact("a", 1, "0")]}

    async def get(self, principal, job_id):
        self.calls.append("get")
        raise ValueError("a secret of the server's")


class Details:
    """A service with samples of every job."""

    series = ResourceSeries(1, 2.0, tuple(ResourceSample(at, at, 7) for at in range(1, 241)))

    def __init__(self, jobs):
        self._jobs = jobs

    async def resources_of(self, principal, jobs):
        ids = {job.job_id for job in jobs}
        self._jobs.calls.append(f"resources of {len(ids)}")
        return dict.fromkeys(ids, self.series)


class Trends:
    """A service with a trend of each name for each of 3 tenants."""

    async def trends(self, principal, names):
        runs = (TrendRun(True, 1.0),) * 20
        return [JobTrend(tenant, name, runs) for name in names for tenant in "abc"]


def services(jobs):
    return QueryServices(jobs, None, None, None, Details(jobs), Trends(), "image")


async def ask(query, jobs=None, **variables):
    jobs = jobs or Jobs()
    found = await engine.answer(Question(query, variables, None), LOCAL_PRINCIPAL, services(jobs))
    return found.status, json.loads(found.content), jobs.calls


BOMBS = {
    "deep": "{jobs{nodes" + "{tests" * 7 + "{total}" + "}" * 9,
    "aliases": "{" + "".join(f"a{i}:jobs(limit:1){{total}}" for i in range(11)) + "}",
    "aliases of a field": "{jobs{nodes{" + "".join(f"a{i}:name " for i in range(201)) + "}}}",
    "the same field": "{jobs{nodes{" + "name " * 299 + "}}}",
    "fragments": "{...f0}"
    + "".join(f"fragment f{i} on Query{{...f{i + 1} ...f{i + 1}}}" for i in range(30))
    + "fragment f30 on Query{usage{limits{live_jobs_per_user}}}",
    "a fragment that nothing uses": "{usage{limits{live_jobs_per_user}}} fragment a on Job{"
    + "git{commit}" * 400
    + "}",
    "points of jobs": "{jobs(limit:42){nodes{resources{points{seconds}}}}}",
    "aliases of points": "{jobs(limit:1){nodes{resources{"
    + "".join(f"a{i}:points{{seconds}}" for i in range(42))
    + "}}}}",
    "trends": "{" + "".join(f'a{i}:trends(name:["a"]){{runs{{success}}}}' for i in range(5)) + "}",
    "lists of lists": "{jobs(limit:500){nodes{artifacts{path}}}}",
    "a number in a variable": "query($n:Int){jobs(limit:$n){nodes{" + "name " * 11 + "}}}",
    "a default": "query($n:Int=1000){jobs(limit:$n){nodes{" + "name " * 11 + "}}}",
    "the schema, again and again": "{__schema{types{fields{type{fields{type{name}}}}}}}",
    "the schema by aliases": "{a:__schema{types{name}} b:__schema{types{name}}}",
    "aliases in the schema": "{__schema{types{fields{a:name b:name}}}}",
}


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_refused_unexecuted(name):
    status, told, calls = await ask(BOMBS[name], n=1000)
    assert (status, calls) == (400, [])
    [error] = told["errors"]
    assert error["extensions"] == {"code": "query_too_complex"}
    assert "data" not in told


CYCLE = (
    "{...a} fragment a on Query{usage{limits{live_jobs_per_user}} ...b} fragment b on Query{...a}"
)
NONSENSE = {
    "a cycle": CYCLE,
    "braces": "{" * 5000,
    "a nest": "{a" * 900 + "}" * 900,
    "lists": "{jobs(label:" + "[" * 900 + "]" * 900 + "){total}}",
    "tokens": "{jobs(" + "mine:true " * 700 + "){total}}",
    "a mutation": "mutation{cancel}",
    "a subscription": "subscription{events}",
    "an unknown field": "{jobs{nodes{env}}}",
    "an unknown argument": "{jobs(tenant:1){total}}",
    "no operation": "fragment a on Query{usage{limits{live_jobs_per_user}}}",
    "several operations": "query A{jobs{total}} query B{jobs{total}}",
    "a wrong type": '{jobs(limit:"5"){total}}',
    "a large number": "{jobs(limit:99999999999999999999){total}}",
    "a huge number": "{jobs(limit:" + "9" * 5000 + "){total}}",
    "a huge default": "query($n:Int=" + "9" * 5000 + "){jobs(limit:$n){total}}",
    "a directive": "{jobs{nodes{name @defer}}}",
    "a missing variable": "query($id:String!){job(id:$id){name}}",
    "not a query": "hello",
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_what_has_no_meaning_is_refused_unexecuted(name):
    status, told, calls = await ask(NONSENSE[name])
    assert (status, calls) == (400, []), told
    assert 0 < len(told["errors"]) <= 12
    assert {error["extensions"]["code"] for error in told["errors"]} == {"invalid_query"}
    assert "data" not in told


async def test_what_is_allowed_is_answered_and_artifacts_are_loaded_together():
    query = "{jobs(limit:100){nodes{job_id artifacts(limit:20){path size}} next_cursor}}"
    status, told, calls = await ask(query)
    assert (status, calls) == (200, ["list", "artifacts of 100"])
    jobs = told["data"]["jobs"]
    assert len(jobs["nodes"]) == 100
    assert jobs["next_cursor"] == jobs["nodes"][-1]["job_id"]
    assert jobs["nodes"][0]["artifacts"] == [{"path": "a", "size": 1}]
    names = " ".join(["name"] * (MOST_SELECTIONS - 10))
    assert (await ask(f"{{jobs(limit:1){{nodes{{{names}}}}}}}"))[0] == 200


async def test_what_only_jobs_know_the_length_of_is_bounded():
    names = " ".join(f"a{number}:command" for number in range(290))
    query = f"{{jobs(limit:33){{nodes{{{names}}}}}}}"
    status, told, _ = await ask(query, Jobs(command=("a",) * 10_000))
    assert (status, told["data"]["jobs"]) == (200, None)
    assert {error["extensions"]["code"] for error in told["errors"]} == {"query_too_complex"}
    assert (await ask("{jobs(limit:1000){nodes{command}}}", Jobs(command=("a",) * 50)))[0] == 200


async def test_resources_and_settings_are_looked_up_once_and_words_of_settings_are_counted():
    wanted = "".join(f"r{i}:resources{{interval_seconds}} " for i in range(3))
    totals = "resources{cpu_seconds peak{cpu_cores memory_bytes}} settings{image retries}"
    status, told, calls = await ask(f"{{jobs(limit:500){{nodes{{{wanted}{totals}}}}}}}")
    assert (status, calls) == (200, ["list", "resources of 500"])
    assert told["data"]["jobs"]["nodes"][7] == {
        **{f"r{i}": {"interval_seconds": 2.0} for i in range(3)},
        "resources": {"cpu_seconds": 240.0, "peak": {"cpu_cores": 1.0, "memory_bytes": 7}},
        "settings": {"image": "image", "retries": 0},
    }
    assert (await ask("{jobs(limit:41){nodes{resources{points{seconds}}}}}"))[0] == 200
    names = " ".join(f"a{number}:command" for number in range(6))
    jobs = Jobs(command=("a",) * 10_000)
    status, told, _ = await ask(f"{{jobs(limit:1){{nodes{{settings{{{names}}}}}}}}}", jobs)
    assert {error["extensions"]["code"] for error in told["errors"]} == {"query_too_complex"}


async def test_more_trends_than_were_counted_are_refused():
    query = "query($names:[String!]!){trends(name:$names){name runs{success}}}"
    told = (await ask(query, names=[f"n{number}" for number in range(33)]))[1]
    assert len(told["data"]["trends"]) == 99
    told = (await ask(query, names=[f"n{number}" for number in range(34)]))[1]
    assert told["data"]["trends"] is None
    assert told["errors"][0]["extensions"] == {"code": "query_too_complex"}


async def test_the_total_of_a_page_is_counted_once():
    totals = " ".join(f"a{number}:total" for number in range(200))
    status, told, calls = await ask(f"{{jobs(limit:1){{{totals}}}}}")
    assert (status, calls) == (200, ["list", "count"])
    assert set(told["data"]["jobs"].values()) == {7}


async def test_programs_may_ask_for_the_schema():
    query = get_introspection_query(specified_by_url=True, input_value_deprecation=True)
    status, told, _ = await ask(query)
    assert status == 200
    assert {"Query", "Job", "JobPage"} <= {one["name"] for one in told["data"]["__schema"]["types"]}


async def test_a_defect_tells_nothing_of_the_server(caplog):
    status, told, _ = await ask('{job(id:"abcdef"){name} jobs(limit:1){next_cursor}}')
    assert status == 200
    [error] = told["errors"]
    assert (error["path"], error["extensions"]) == (["job"], {"code": "internal_error"})
    assert "secret" not in json.dumps(told)
    assert told["data"]["job"] is None
    assert told["data"]["jobs"] is not None
    assert "a secret of the server's" in caplog.text


async def test_one_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(engine, "SECONDS", 0.2)
    ended = []

    class Slow(Jobs):
        async def list_jobs(self, principal, query, *, mine):
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(True)

    status, told, _ = await ask("{jobs{next_cursor}}", Slow())
    assert (status, told["errors"][0]["extensions"]["code"]) == (503, "query_timeout")
    assert ended == [True]


async def test_an_answer_that_aliases_make_too_large_is_not_sent():
    names = " ".join(f"a{number}:command" for number in range(40))
    status, told, _ = await ask(
        f"{{jobs(limit:40){{nodes{{{names}}}}}}}", Jobs(command=("x" * 100_000,))
    )
    assert (status, told["errors"][0]["extensions"]["code"]) == (400, "query_too_complex")


def test_the_page_of_the_schema_is_the_schema():
    shown = (ROOT / "docs/schema.graphql").read_text()
    ours = engine.load_schema()
    assert shown == (ROOT / "ci_server/apis/graphql/schema.graphql").read_text()
    sort = lexicographic_sort_schema
    assert print_schema(sort(build_schema(shown))) == print_schema(sort(ours))


def test_it_has_every_filter_of_the_list():
    arguments = set(engine.load_schema().query_type.fields["jobs"].args)
    assert arguments == {field.name for field in fields(Filters)} | {"mine", "limit", "cursor"}


def test_a_server_starts_without_importing_the_library():
    script = "import sys, ci_server.app; print('graphql' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
