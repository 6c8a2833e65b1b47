"""GET /jobs: order, filters, pages."""

import json

import httpx
import pytest

from support import projects
from support.archives import zip_bytes
from support.live_server import LiveServer


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A server without a controller, with 7 queued jobs; and their ids, oldest first."""
    directory = tmp_path_factory.mktemp("idle")
    with LiveServer(directory, controller="external") as server:
        server.start()
        yield server, [server.submit(projects.ANY) for _ in range(7)]


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [job["job_id"] for job in answer.json()]


def test_newest_first(idle):
    server, job_ids = idle
    assert ids(server.http.get("/jobs")) == job_ids[::-1]


def test_each_is_as_the_job_itself(idle):
    server, job_ids = idle
    job = server.job(job_ids[-1])
    assert job["waiting"]["reason"] == "no_controller"
    assert job.pop("settings"), "only a single job says them"
    assert job.pop("resources") is None
    assert server.http.get("/jobs").json()[0] == job


def test_a_queued_job_has_no_times_and_no_result(idle):
    job = idle[0].http.get("/jobs").json()[0]
    assert (job["status"], job["success"]) == ("queued", None)
    assert (job["start_time"], job["end_time"]) == (None, None)


def test_status_filter(idle):
    server, job_ids = idle
    assert ids(server.http.get("/jobs", params={"status": "queued"})) == job_ids[::-1]
    assert ids(server.http.get("/jobs", params={"status": "completed"})) == []


def test_limit(idle):
    server, job_ids = idle
    assert ids(server.http.get("/jobs", params={"limit": 2})) == job_ids[:-3:-1]


@pytest.mark.parametrize("size", [8, 35])
def test_the_beginning_of_an_id_is_enough_wherever_an_id_is_taken(idle, size):
    server, job_ids = idle
    whole = job_ids[3]
    short = whole[:size].upper()
    assert server.http.get(f"/jobs/{short}").json()["job_id"] == whole
    assert server.http.get(f"/jobs/{short}/artifacts").json() == []
    assert server.http.get(f"/v1/jobs/{short}").json()["jobId"] == whole
    assert server.http.post(f"/jobs/{short}/token").status_code == 200
    assert ids(server.http.get("/jobs", params={"cursor": short})) == job_ids[2::-1]
    with server.http.stream("GET", f"/jobs/{short}/stream") as stream:
        assert whole in next(stream.iter_lines())


@pytest.mark.parametrize("text", ["ab", "zzzz", "%25%25%25%25", "0000-0000", "____"])
def test_what_no_id_begins_with_is_not_found(idle, text):
    answer = idle[0].http.get(f"/jobs/{text}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_by_cursor_are_the_whole_list(idle, size):
    server, job_ids = idle
    seen, cursor = [], None
    while True:
        params = {"limit": size, **({"cursor": cursor} if cursor else {})}
        page = server.http.get("/jobs", params=params)
        seen += ids(page)
        cursor = page.headers.get("X-Next-Cursor")
        if cursor is None:
            break
    assert seen == job_ids[::-1]


def test_a_page_stays_the_same_when_jobs_come_in(own_server):
    server = own_server(controller="external").start()
    old = [server.submit(projects.ANY) for _ in range(4)]
    first = server.http.get("/jobs", params={"limit": 2})
    server.submit(projects.ANY)
    cursor = first.headers["X-Next-Cursor"]
    second = server.http.get("/jobs", params={"limit": 2, "cursor": cursor})
    assert ids(first) + ids(second) == old[::-1]


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"status": "sleeping"}, 400),
        ({"limit": 0}, 400),
        ({"limit": -1}, 400),
        ({"limit": "many"}, 400),
        ({"limit": 1_000_000}, 400),
        ({"cursor": "00000000-0000-4000-8000-000000000000"}, 404),
        ({"cursor": "nonsense"}, 404),
        ({"outcome": "lost"}, 400),
        ({"reason": "bad luck"}, 400),
        ({"sort": "name"}, 400),
        ({"since": "yesterday"}, 400),
        ({"until": "2026-11-28T09:00:00"}, 400),  # in which zone?
        ({"label": "team"}, 400),
        ({"label": ":a"}, 400),
        ({"label": [f"a:{number}" for number in range(21)]}, 400),
        ({"user": ""}, 400),
        ({"user": ["a", "b"]}, 400),
        ({"q": " "}, 400),
        ({"q": "a " * 11}, 400),
        ({"mine": "perhaps"}, 400),
    ],
)
def test_bad_questions_are_refused_in_the_one_form(idle, params, status):
    answer = idle[0].http.get("/jobs", params=params)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"code", "message", "request_id"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("PUT", "/jobs", 405), ("GET", "/submit", 405)],
)
def test_unknown_paths_and_methods_have_the_same_form(idle, method, path, status):
    answer = idle[0].http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"code", "message", "request_id"}


WITH_LABELS = zip_bytes({"ci.toml": '[jobs.test]\nlabels = {team = "a", "of.table" = "yes"}\n'})


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A server without a controller, and the ids of three jobs with labels, newest first."""
    with LiveServer(tmp_path_factory.mktemp("labelled"), controller="external") as server:
        server.start()
        job_ids = [
            submitted(server, labels).json()["job_id"]
            for labels in ({"team": "b", "part": "one:two"}, {"part": "three"}, None)
        ]
        yield server, job_ids[::-1]


def submitted(server, labels):
    data = {} if labels is None else {"spec": json.dumps({"labels": labels})}
    return server.http.post("/submit-async", data=data, files={"file": ("p.zip", WITH_LABELS)})


def test_labels_of_the_request_come_over_those_of_the_table(labelled):
    server, job_ids = labelled
    assert [server.job(job_id)["labels"] for job_id in job_ids] == [
        {"team": "a", "of.table": "yes"},
        {"team": "a", "of.table": "yes", "part": "three"},
        {"team": "b", "of.table": "yes", "part": "one:two"},
    ]


@pytest.mark.parametrize(
    ("params", "at"),
    [
        ({"label": "team:a"}, [0, 1]),
        ({"label": ["team:a", "part:three"]}, [1]),
        ({"label": "part:one:two"}, [2]),
        ({"label": "part:one"}, []),
        ({"q": "TEAM:b"}, [2]),
        ({"outcome": "queued", "sort": "submitted"}, [2, 1, 0]),
        ({"outcome": "failed"}, []),
        ({"outcome": "queued", "status": "running"}, []),
        ({"sort": "-duration"}, []),
        ({"name": "test", "user": "local", "mine": "true", "since": "2020-01-01"}, [0, 1, 2]),
        ({"until": "2020-01-01T00:00:00+02:00"}, []),
    ],
)
def test_filters(labelled, params, at):
    server, job_ids = labelled
    answer = server.http.get("/jobs", params={**params, "total": "true"})
    assert ids(answer) == [job_ids[number] for number in at]
    assert answer.headers["X-Total-Count"] == str(len(at))


def test_links_lead_through_the_whole_list(labelled):
    server, job_ids = labelled
    url, seen = "/jobs?limit=1&label=of.table:yes&sort=submitted&total=1", []
    while True:
        page = server.http.get(url)
        assert page.headers["X-Total-Count"] == "3"
        seen += ids(page)
        if "next" not in page.links:
            break
        url = page.links["next"]["url"]
        assert httpx.URL(url).params["cursor"] == page.headers["X-Next-Cursor"] == seen[-1]
    assert seen == job_ids[::-1]
    assert "X-Total-Count" not in server.http.get("/jobs").headers


@pytest.mark.parametrize(
    "labels",
    [
        {"a b": "x"},
        {"": "x"},
        {"k" * 64: "x"},
        {"a": ""},
        {"a": "x" * 256},
        {"a": "two\nlines"},
        {"a": 1},
        {f"k{number}": "x" for number in range(19)},  # with those of the table
    ],
)
def test_labels_have_bounds(labelled, labels):
    answer = submitted(labelled[0], labels)
    assert answer.status_code == 400
    assert "labels" in answer.json()["error"]["message"]
