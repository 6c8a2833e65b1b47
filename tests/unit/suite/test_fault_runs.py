"""The record of fault runs, from which docs/reliability.md is made."""

import json

import pytest

from support.fault_rounds import FaultRounds, Options, RoundError, held
from support.reliability import FaultRuns


def run(test, seed, outcome="passed", title="it breaks", does="breaking it"):
    return {
        "id": f"tests/faults/test_x.py::{test}[seed{seed}]",
        "title": title,
        "does": does,
        "asserts": "-",
        "seed": seed,
        "outcome": outcome,
        "seconds": 2.0,
        "at": "2030-01-01T00:00:00+00:00",
        "machine": "a machine",
    }


def rows(runs):
    return {row.cells[0]: row.cells[3:] for row in runs.rows()}


def test_runs_add_up_over_starts(tmp_path):
    path = tmp_path / "state" / "runs.jsonl"
    FaultRuns(path).add(run("test_a", 0))
    FaultRuns(path).add(run("test_a", 1, "failed"), "why it failed")
    FaultRuns(path).add(run("test_a", 2, "skipped"))
    again = FaultRuns(path)
    assert again.done == 2
    assert rows(again) == {"it breaks": ("2 (1 skipped)", "1", "1", "2 s")}
    assert (path.parent / again.failed[0]["output"]).read_text() == "why it failed"


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path):
    path = tmp_path / "runs.jsonl"
    FaultRuns(path).add(run("test_a", 0))
    path.write_text(path.read_text() + '{"id": "tests/fau')
    FaultRuns(path).add(run("test_a", 1))
    assert FaultRuns(path).ids == {run("test_a", 0)["id"], run("test_a", 1)["id"]}
    assert len(path.read_text().splitlines()) == 3


def test_a_fault_has_the_words_of_its_last_run(tmp_path):
    runs = FaultRuns()
    runs.add(run("test_a", 0, title="old title"))
    runs.add(run("test_a", 1, title="new | title", does="what is done now"))
    assert rows(runs) == {r"new \| title": ("2", "2", "0", "2 s")}
    assert "what is done now" in runs.page()
    assert "old title" not in runs.page()


def test_a_worker_that_died_counts_for_its_fault():
    runs = FaultRuns()
    runs.add(run("test_a", 0))
    died = {name: run("test_a", 1, "failed")[name] for name in ("id", "outcome", "seconds")}
    runs.add({**died, "at": "2030-01-02T00:00:00+00:00", "machine": "a machine"})
    assert rows(runs) == {"it breaks": ("2", "1", "1", "2 s")}


def test_only_one_start_works_on_a_state_file(tmp_path):
    state = tmp_path / "runs.jsonl"
    with held(state), pytest.raises(RoundError, match="in use"):
        FaultRounds(Options(runs=1, state=state), print).run()


def test_a_state_file_that_has_enough_runs_needs_no_more(tmp_path):
    state = tmp_path / "runs.jsonl"
    state.write_text(json.dumps(run("test_a", 0)) + "\n")
    rounds = FaultRounds(Options(runs=1, state=state, only="test_daemons"), print)
    assert rounds.run() == []
