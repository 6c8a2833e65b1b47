"""Results of runs, as whoever wrote the image left them."""

import json

import pytest

from ci_common.run_result import MOST_BYTES, MOST_LISTED_BYTES, parse_result

LISTS = ("top_upregulated", "top_downregulated", "enriched_pathways", "activated_tfs", "iterations")


def document(**fields):
    return json.dumps({"success": True, **fields}).encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[" * MOST_BYTES, "more than 100000 values"),
        (b"[" * (MOST_BYTES + 1), f"more than {MOST_BYTES} bytes"),
        (document(iterations=[{"a": 1}])[:-3] + b"[" * 900, "not JSON"),
        (document(iterations=[{"a": json.loads("[" * 40 + "]" * 40)}]), "nested too deeply"),
        (b'{"success": true, "iterations": [{"a": 1e999}]}', "not finite"),
        (b'{"success": true, "iterations": [{"a": NaN}]}', "not finite"),
        (b'{"success": true, "iterations": [{"a": 1%s}]}' % (b"0" * 5000), "too large"),
        (b'{"success": true, "other": "\\ud800"}', "half of a surrogate pair"),
        (b'{"success": false, "success": true}', "duplicate key"),
        (b"[]", "not a JSON object"),
        (document(termination_reason="x" * 1001), "at most 1000 characters"),
        (document(grounding_scores={str(n): n for n in range(101)}), "at most 100 numbers"),
        (document(grounding_scores={"x" * 201: 1}), "at most 200 characters"),
        (document(grounding_score=10**350), "must be a number"),
        (document(num_de_genes=1.0), "must be an integer"),
        (document(files={"log": "x/y"}), "files.log must be the name of a file"),
    ],
)
def test_what_no_result_may_be(content, problem):
    with pytest.raises(ValueError, match=problem):
        parse_result(content)


def test_a_summary_has_short_iterations_only():
    lists = {name: [{"a": 1}] for name in LISTS}
    result = parse_result(document(grounding_score=3, **lists))
    summary = result.summary()
    assert (summary.grounding_score, summary.iterations) == (3, ({"a": 1},))
    assert not any(getattr(summary, name) for name in LISTS[:-1])
    long = parse_result(document(iterations=[{"a": "x" * MOST_LISTED_BYTES}]))
    assert long.iterations
    assert long.summary().iterations == ()
