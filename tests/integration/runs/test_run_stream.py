"""The stream of a run: the log of its job, with its progress in it, whole for whoever resumes."""

import pytest

from support import events, run_program
from support.command_line import CommandLine
from support.run_schemas import EVENTS, check, ended

STEPS = (
    ("say", "hello"),
    ("progress", {"current": 0, "total": 9, "phase": "query_analysis", "message": "reading"}),
    ("progress", {"current": 1, "total": 9, "phase": "inference", "iteration": 1}),
    ("say", "not at the start ::progress {}"),
    ("progress", {"current": 1.5, "total": 9, "phase": "no integer"}),
    ("progress", {"current": 2, "total": 9, "phase": "evaluation", "iteration": 1, "score": 6.5}),
    ("progress", {"current": 3, "total": 9, "phase": "inference", "iteration": 2}),
    ("progress", {"current": 4, "total": 9, "phase": "evaluation", "iteration": 2, "score": 7}),
    ("say", "bye"),
)
STORY = [
    ("progress", 0, None),
    ("iteration_start", None, 1),
    ("progress", 1, 1),
    ("progress", 2, 1),
    ("iteration_end", None, 1),
    ("iteration_start", None, 2),
    ("progress", 3, 2),
    ("progress", 4, 2),
    ("iteration_end", None, 2),
]


@pytest.fixture(scope="module")
def run(processes, runs):
    return ended(processes, runs, *STEPS)


def watch(server, run, **options):
    path = f"/api/v1/runs/{run['run_id']}/stream"
    return events.read(server.http, "GET", path, **options)


def story(seen):
    told = [event.data for event in seen if event.type in EVENTS]
    for data in told:
        check(EVENTS[data["type"]], data)
    return [(data["type"], data.get("current"), data.get("iteration")) for data in told]


def test_the_whole_stream(processes, run):
    seen = watch(processes, run)
    assert story(seen) == STORY
    assert events.logged(seen) == processes.log(run["job_id"])
    assert seen[-1].type == "complete"
    offset = 0
    for event in seen:
        offset += len(events.logged([event]))
        if event.type in EVENTS:
            assert event.id == str(offset)


def test_whoever_resumes_after_any_event_misses_nothing(processes, run):
    whole = watch(processes, run)
    log = processes.log(run["job_id"])
    for place, event in enumerate(whole[:-1]):
        offset = int(event.id)
        rest = watch(processes, run, headers={"Last-Event-ID": event.id})
        assert events.logged(rest) == log[offset:]
        assert set(story(whole[place + 1 :])) <= set(story(rest)), event
        assert story(watch(processes, run, params={"offset": offset})) == story(rest)


def test_whoever_has_seen_the_end_is_sent_away(processes, run):
    path = f"/api/v1/runs/{run['run_id']}/stream"
    last = watch(processes, run)[-1].id
    answer = processes.http.get(path, headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_live_run_is_watched_as_it_goes(processes, runs, gate):
    steps = [*STEPS[:5], ("wait", str(gate)), *STEPS[5:]]
    run = runs.submit(run_program.query(*steps))
    path = f"/api/v1/runs/{run['run_id']}/stream"
    with events.streaming(processes.http, "GET", path) as stream:
        seen = []
        for event in stream:
            seen.append(event)
            if event.type == "progress" and event.data["current"] == 1:
                gate.touch()
    assert story(seen) == STORY
    assert events.logged(seen) == processes.log(run["job_id"])


def test_the_same_log_in_the_native_door_and_on_the_command_line(processes, run, tmp_path):
    native = events.stream(processes.http, run["job_id"], params={"from_beginning": True})
    assert events.logged(native) == events.logged(watch(processes, run))
    assert not set(events.types(native)) & set(EVENTS)
    shown = CommandLine(processes.url, tmp_path).run("logs", run["job_id"])
    assert shown.out == events.logged(native), shown.err
