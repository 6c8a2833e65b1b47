"""A program that stands in for a run's image: its query is a list of what to do, as JSON."""

import json
import shlex

_SOURCE = """
import json, os, pathlib, sys, time
for what, *how in json.loads(os.environ["QUERY"])[1:]:
    if what == "say":
        print(how[0], flush=True)
    elif what == "progress":
        print("::progress " + json.dumps(how[0]), flush=True)
    elif what == "write":
        path = pathlib.Path("output", how[0].replace("RUN_ID", os.environ["RUN_ID"]))
        path.parent.mkdir(exist_ok=True)
        path.write_text(how[1].replace("RUN_ID", os.environ["RUN_ID"]) * (how + [1])[2])
    elif what == "environment":
        names = ("RUN_ID", "USER_EMAIL", "QUERY", "CONTROL_STRATEGY", "MAX_ITERATIONS",
                 "SCORE_THRESHOLD", "RUN_CONFIG")
        print(json.dumps({name: os.environ[name] for name in names}), flush=True)
    elif what == "wait":
        while not os.path.exists(how[0]):
            time.sleep(0.02)
    elif what == "exit":
        sys.exit(how[0])
"""

COMMAND = f"python -c {shlex.quote(_SOURCE)}"
"""For the setting `run_command`."""


def query(*steps):
    """A query that does these: `("say", text)`, `("progress", facts)`, `("write", name, text)`
    or with how many times the text, `("environment",)`, `("wait", path)`, `("exit", code)`.
    """
    return json.dumps(["steps of a run", *steps])


RESULT = {
    "run_id": "RUN_ID",
    "success": True,
    "grounding_score": 7.5,
    "grounding_scores": {"a": 7, "b": 8.0},
    "termination_reason": "threshold_reached",
    "num_de_genes": 3,
    "top_upregulated": [{"gene": "SYN1", "log2_fold_change": 2.5}],
    "top_downregulated": [],
    "enriched_pathways": [{"pathway": "SYNTHETIC_A"}],
    "activated_tfs": [],
    "control_strategy_effective": "query_as_control",
    "control_cells_available": 4,
    "iterations": [{"iteration": 1, "score": 7.5}],
    "files": {"anndata": "cells.h5ad"},
}


def writes_result(document=None, **changes):
    """The step that writes a result, this one or the usual one with changes."""
    content = document if document is not None else json.dumps({**RESULT, **changes})
    return ("write", "result.json", content)
