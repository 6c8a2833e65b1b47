"""GET /jobs: order, filters, pages."""

import pytest

from support import projects
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
    assert server.http.get("/jobs").json()[0] == server.job(job_ids[-1])


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
