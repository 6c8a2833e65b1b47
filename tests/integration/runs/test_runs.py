"""The runs API with a real server: the contract, with runs that do what their query says."""

import concurrent.futures
import json

import httpx
import pytest

from ci_common.run_result import MOST_BYTES
from support import run_program as program
from support.run_schemas import Runs, ended, in_status

QUERY = "How do CD4 T cells respond to interferon-beta?"
DEEP = json.loads("[" * 300 + "]" * 300)


def job_of(server, run):
    return server.http.get(f"/jobs/{run['job_id']}").json()


def said(server, run):
    """Its lines, without the runner's about limits that processes do not have."""
    lines = server.log(run["job_id"]).decode().splitlines()
    return [line for line in lines if not line.startswith("ci: ")]


# ------------------------------------------------------------------ what a run is


def test_what_a_run_is_asked(processes, runs):
    options = {
        "max_iterations": 3,
        "score_threshold": 8.4999999,
        "random_seed": 7,
        "llm_model": None,
    }
    wanted = program.query(("environment",), ("say", "grüße"))
    asked = runs.submit(wanted, control_strategy="query_as_control", de_config={"a": 1}, **options)
    assert (asked["status"], asked["max_iterations"]) == ("pending", 3)
    assert asked["user_email"] == "local"
    in_status(processes, runs, asked["run_id"], "completed")
    first, second = said(processes, asked)
    told = json.loads(first)
    config = json.loads(told.pop("RUN_CONFIG"))
    assert told == {
        "RUN_ID": asked["run_id"],
        "USER_EMAIL": "local",
        "QUERY": wanted,
        "CONTROL_STRATEGY": "query_as_control",
        "MAX_ITERATIONS": "3",
        "SCORE_THRESHOLD": "8.4999999",
    }
    assert config == {
        "query": wanted,
        "control_strategy": "query_as_control",
        "max_iterations": 3,
        "score_threshold": 8.4999999,
        "random_seed": 7,
        "de_config": {"a": 1},
    }
    assert second == "grüße"
    job = job_of(processes, asked)
    assert (job["name"], job["package_size"], job["timeout"]) == ("run", None, 3600)


def test_a_run_that_says_only_its_query(processes, runs):
    run = ended(processes, runs, ("environment",))
    told = json.loads(*said(processes, run))
    assert (told["CONTROL_STRATEGY"], told["MAX_ITERATIONS"]) == ("synthetic_control", "5")
    assert told["SCORE_THRESHOLD"] == "7"


def test_progress_is_the_status_of_a_run(processes, runs, gate):
    scored = {"current": 4, "total": 9, "phase": "evaluation", "iteration": 1, "score": 6.5}
    steps = (
        ("progress", {**scored, "scores": {"a": 6.0, "b": 7.0}}),
        ("progress", {"current": 5, "total": 9, "phase": "inference", "iteration": 2}),
        ("progress", {"current": 6, "total": 9, "phase": "output", "message": "soon"}),
        ("wait", str(gate)),
    )
    run_id = runs.submit(program.query(*steps))["run_id"]
    run = processes.until(lambda: runs.get(run_id), lambda run: run["message"] == "soon")
    assert (run["status"], run["current_phase"]) == ("running", "output")
    assert (run["current_iteration"], run["current_score"]) == (2, 6.5)
    assert run["grounding_scores"] == {"a": 6.0, "b": 7.0}
    assert run["updated_at"] >= run["start_time"] >= run["created_at"]
    gate.touch()
    run = in_status(processes, runs, run_id, "completed")
    assert (run["current_score"], run["message"]) == (6.5, "soon")
    assert run["end_time"] == run["updated_at"]


# ------------------------------------------------------------------ results


def test_a_result_and_its_files(processes, runs):
    files = [("write", name, f"content of {name}") for name in ("cells.h5ad", "other.txt")]
    named = ("write", "run_report.html", "")
    run = ended(processes, runs, *files, named, program.writes_result())
    result = runs.result(run["run_id"])
    assert result["success"] is True
    assert (result["grounding_score"], result["num_de_genes"]) == (7.5, 3)
    assert result["top_upregulated"] == [{"gene": "SYN1", "log2_fold_change": 2.5}]
    assert result["control_strategy_effective"] == "query_as_control"
    assert result["iterations"] == [{"iteration": 1, "score": 7.5}]
    assert (result["report_url"], result["log_url"]) == (None, None)
    answer = httpx.get(result["anndata_url"], trust_env=False, timeout=60)
    assert answer.text == "content of cells.h5ad"
    run = runs.get(run["run_id"])
    assert run["control_strategy_effective"] == "query_as_control"
    assert (run["current_score"], run["grounding_scores"]) == (7.5, {"a": 7, "b": 8.0})
    assert run["control_cells_available"] == 4


def test_a_file_is_found_among_many_and_when_it_is_empty(processes, runs):
    many = [("write", f"a{number:03}", "") for number in range(200)]
    run = ended(processes, runs, *many, ("write", "RUN_ID_log.json", ""))
    assert (
        httpx.get(runs.result(run["run_id"])["log_url"], trust_env=False, timeout=60).status_code
        == 200
    )


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([], "left no output/result.json"),
        ([("write", "result.json", "{")], "it is not JSON"),
        ([("write", "result.json", "x", MOST_BYTES + 1)], "larger than 1 MiB"),
        ([program.writes_result(success="yes")], "success must be true or false"),
        ([program.writes_result(files={"anndata": "../x"})], "files.anndata must be the name"),
        ([program.writes_result(top_upregulated=["SYN1"])], "top_upregulated must be a list"),
        ([program.writes_result(iterations=[{"a": DEEP}])], "nested too deeply"),
    ],
    ids=["none", "no JSON", "large", "no success", "a path", "no objects", "nested"],
)
def test_a_result_that_cannot_be_used(processes, runs, steps, problem):
    """The run completed all the same, and its files are there."""
    usual = ("write", "RUN_ID_log.json", "{}")
    run = ended(processes, runs, usual, *steps)
    assert problem in run["error_message"]
    result = runs.result(run["run_id"])
    assert (result["success"], result["grounding_score"]) == (False, None)
    assert runs.page(page_size=1)["runs"][0]["run_id"] == run["run_id"]
    assert result["iterations"] == result["top_downregulated"] == []
    assert result["anndata_url"] is None
    assert httpx.get(result["log_url"], trust_env=False, timeout=60).text == "{}"


@pytest.mark.parametrize("steps", [(("say", "sorry"), ("exit", 3)), (("exit", 1),)])
def test_a_run_that_failed(processes, runs, steps):
    run = ended(processes, runs, program.writes_result(), *steps, status="failed")
    expected = "sorry" if steps[0][0] == "say" else "exited with code 1"
    assert run["error_message"] == expected
    assert runs.refused(400, "run_not_completed", "GET", f"/{run['run_id']}/result") == (
        "Run not completed"
    )


# ------------------------------------------------------------------ cancelling


def test_a_cancelled_run_is_cancelled_for_ever(processes, runs, gate):
    """Even when its command exits with 0 after it was told to stop."""
    source = program.query(("say", "up"), ("wait", str(gate)), program.writes_result())
    run_id = runs.submit(source)["run_id"]
    assert runs.refused(400, "run_not_completed", "GET", f"/{run_id}/result")
    in_status(processes, runs, run_id, "running")
    runs.cancel(run_id)
    assert runs.get(run_id)["status"] == "cancelled"
    told = runs.refused(400, "run_not_cancellable", "POST", f"/{run_id}/cancel")
    assert told == "Run cannot be cancelled"
    run = processes.until(lambda: runs.get(run_id), lambda run: run["end_time"])
    assert (run["status"], run["error_message"]) == ("cancelled", None)
    assert job_of(processes, run)["status"] == "cancelled"
    assert runs.refused(400, "run_not_completed", "GET", f"/{run_id}/result")


def test_a_run_that_ended_by_itself_after_its_cancel(processes, runs, gate):
    run_id = runs.submit(program.query(("wait", str(gate)), program.writes_result()))["run_id"]
    in_status(processes, runs, run_id, "running")
    processes.execute(
        "UPDATE jobs SET cancel_requested_at = created_at WHERE job_id = "
        "(SELECT job_id FROM runs WHERE run_id = ?)",
        run_id,
    )
    gate.touch()
    run = processes.until(lambda: runs.get(run_id), lambda run: run["end_time"])
    assert run["status"] == "cancelled"
    assert runs.refused(400, "run_not_completed", "GET", f"/{run_id}/result")


def test_what_has_ended_cannot_be_cancelled(processes, runs):
    run = ended(processes, runs)
    assert runs.refused(400, "run_not_cancellable", "POST", f"/{run['run_id']}/cancel")
    assert runs.get(run["run_id"])["status"] == "completed"


# ------------------------------------------------------------------ lists


def test_pages(processes, runs):
    own = [
        ended(processes, runs, ("exit", number % 2), status=status)["run_id"]
        for number, status in enumerate(["completed", "failed", "completed"])
    ]
    page = runs.page(page_size=2)
    assert [run["run_id"] for run in page["runs"]] == own[:0:-1]
    assert (page["page"], page["page_size"]) == (1, 2)
    assert runs.page(page_size=1, page=3)["runs"][0]["run_id"] == own[0]
    failed = runs.page(status="failed")
    assert failed["runs"][0]["run_id"] == own[1]
    assert all(run["status"] == "failed" for run in failed["runs"])
    last = runs.page(page=1000)
    assert (last["runs"], last["total"]) == ([], page["total"])


def test_an_item_of_a_list_tells_more(processes, runs):
    wanted = program.query(("write", "cells.h5ad", "x"), program.writes_result())
    run_id = runs.submit(wanted, random_seed=3)["run_id"]
    in_status(processes, runs, run_id, "completed")
    item = runs.page(page_size=1)["runs"][0]
    assert (item["run_id"], item["random_seed"], item["raw_query"]) == (run_id, 3, wanted)
    assert item["config"]["max_iterations"] == 5
    assert (item["final_score"], item["termination_reason"]) == (7.5, "threshold_reached")
    assert item["iterations"] == [{"iteration": 1, "score": 7.5}]
    assert (item["anndata_path"], item["report_path"]) == ("output/cells.h5ad", None)


def test_a_list_leaves_out_long_iterations(processes, runs):
    iterations = [{"a": "RUN_ID" * 200}] * 6
    run = ended(processes, runs, program.writes_result(iterations=iterations))
    item = runs.page(page_size=1)["runs"][0]
    assert (item["run_id"], item["iterations"], item["final_score"]) == (run["run_id"], [], 7.5)
    assert runs.result(run["run_id"])["iterations"] == [{"a": run["run_id"] * 200}] * 6


# ------------------------------------------------------------------ wrong requests


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "query: "),
        ({"query": "too short"}, "query: "),
        ({"query": "x" * 10_001}, "query: "),
        ({"query": "with \0 in it"}, "query: "),
        ({"query": QUERY, "control_strategy": "none"}, "control_strategy: "),
        ({"query": QUERY, "max_iterations": 0}, "max_iterations: "),
        ({"query": QUERY, "max_iterations": 2.5}, "max_iterations: "),
        ({"query": QUERY, "max_iterations": True}, "max_iterations: "),
        ({"query": QUERY, "score_threshold": 10.1}, "score_threshold: "),
        ({"query": QUERY, "random_seed": -1}, "random_seed: "),
        ({"query": QUERY, "de_config": []}, "de_config: "),
        ({"query": QUERY, "more": 1}, "more: "),
    ],
)
def test_what_no_run_may_be(runs, body, place):
    assert place in runs.refused(422, "invalid_request", "POST", "", json=body)


@pytest.mark.parametrize(
    "parameters", [{"page": 0}, {"page_size": 101}, {"page": "x"}, {"status": "queued"}, {"a": 1}]
)
def test_what_no_list_may_be(runs, parameters):
    assert runs.refused(422, "invalid_request", "GET", "", params=parameters)


def test_a_request_too_large_for_a_variable(runs):
    large = {"query": QUERY, "de_config": {"a": "x" * 110_000}}
    told = runs.refused(400, "invalid_config", "POST", "", json=large)
    assert "make de_config smaller" in told


@pytest.mark.parametrize("run_id", ["run_000000000000", "x", "run_%00", "run_é"])
def test_a_run_that_there_is_not(runs, run_id):
    for method, path in [("GET", ""), ("GET", "/result"), ("GET", "/stream"), ("POST", "/cancel")]:
        told = runs.refused(404, "run_not_found", method, f"/{run_id}{path}")
        assert told.startswith("Run ")
        assert told.endswith(" not found")


def test_a_longest_query_reaches_the_run(processes, runs):
    query = "😀" * 10_000
    run_id = runs.submit(query)["run_id"]
    run = in_status(processes, runs, run_id, "failed")  # this one is no list of steps
    assert "JSONDecodeError" in run["error_message"]
    assert runs.page(page_size=1)["runs"][0]["raw_query"] == query


def test_many_at_once_are_runs_of_their_own(processes, runs):
    def submit(number):
        client = Runs(processes.http)
        return client.submit(program.query(("say", str(number))))["run_id"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(submit, range(16)))
    assert len(set(ids)) == 16
    for number, run_id in enumerate(ids):
        run = in_status(processes, runs, run_id, "completed")
        assert said(processes, run) == [str(number)]
