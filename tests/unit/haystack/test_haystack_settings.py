"""What a run reads from its environment, and how it refuses nonsense."""

import json

import pytest

from haystack.errors import SettingsError
from haystack.settings import DifferentialExpression, read_settings

USUAL = {"RUN_ID": "run_0123456789ab", "QUERY": "TNF on monocytes"}


def test_defaults():
    found = read_settings(USUAL)
    assert found.control_strategy == "synthetic_control"
    assert (found.max_iterations, found.score_threshold, found.random_seed) == (5, 7, 0)
    assert found.enable_pathway_enrichment
    assert found.notes == ()


def test_the_whole_request():
    config = {
        "query": "something else entirely",
        "max_iterations": 2,
        "random_seed": 12,
        "enable_pathway_enrichment": False,
        "enable_literature_search": True,
        "llm_model": "any",
        "de_config": {"min_log2_fold_change": 1, "method": "t"},
    }
    found = read_settings(
        {**USUAL, "MAX_ITERATIONS": "3", "SCORE_THRESHOLD": "8.5", "RUN_CONFIG": json.dumps(config)}
    )
    assert found.query == USUAL["QUERY"]
    assert (found.max_iterations, found.score_threshold, found.random_seed) == (3, 8.5, 12)
    assert not found.enable_pathway_enrichment
    assert found.expression == DifferentialExpression(0.05, 1)
    assert len(found.notes) == 3


def test_a_request_alone_is_enough():
    config = {"query": "TNF on monocytes", "max_iterations": 2, "random_seed": None}
    found = read_settings({"RUN_ID": "x", "RUN_CONFIG": json.dumps(config)})
    assert (found.query, found.max_iterations, found.random_seed) == ("TNF on monocytes", 2, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUN_ID", ""),
        ("RUN_ID", "../../etc/passwd"),
        ("RUN_ID", "x" * 65),
        ("RUN_ID", "run\n"[:-1] + "/x"),
        ("QUERY", ""),
        ("QUERY", "too short"),
        ("QUERY", " " * 40),
        ("QUERY", "x" * 10_001),
        ("QUERY", "TNF on monocytes \udcff"),
        ("CONTROL_STRATEGY", "none"),
        ("MAX_ITERATIONS", "0"),
        ("MAX_ITERATIONS", "11"),
        ("MAX_ITERATIONS", "2.5"),
        ("MAX_ITERATIONS", "five"),
        ("SCORE_THRESHOLD", "nan"),
        ("SCORE_THRESHOLD", "inf"),
        ("SCORE_THRESHOLD", "0.5"),
        ("RUN_CONFIG", "{"),
        ("RUN_CONFIG", "[]"),
        ("RUN_CONFIG", "[" * 100_000),
        ("RUN_CONFIG", '{"random_seed": -1}'),
        ("RUN_CONFIG", '{"random_seed": true}'),
        ("RUN_CONFIG", '{"random_seed": 1.5}'),
        ("RUN_CONFIG", '{"enable_pathway_enrichment": "yes"}'),
        ("RUN_CONFIG", '{"de_config": []}'),
        ("RUN_CONFIG", '{"de_config": {"max_adjusted_p_value": 2}}'),
        ("RUN_CONFIG", '{"control_strategy": 1}'),
    ],
)
def test_nonsense_is_refused_with_its_name(name, value):
    with pytest.raises(SettingsError) as caught:
        read_settings({**USUAL, name: value})
    inner = next((n for n in ("random_seed", "enable_pathway", "de_config") if n in value), "")
    told = str(caught.value)
    assert name in told or inner or "max_adjusted_p_value" in told or "CONTROL_STRATEGY" in told
    assert len(told) < 300


def test_control_characters_of_a_query_become_blanks():
    assert read_settings({**USUAL, "QUERY": "TNF\x1b[31m on\nmonocytes"}).query == (
        "TNF [31m on monocytes"
    )
