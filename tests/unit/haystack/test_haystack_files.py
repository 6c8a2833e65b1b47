"""The files of a run."""

import json
import re
from html.parser import HTMLParser

import anndata
import h5py
import jsonschema_rs
import numpy as np

from haystack.outputs import MAX_RESULT_BYTES

NUMBER, TEXT, COUNT = {"type": "number"}, {"type": "string"}, {"type": "integer", "minimum": 0}
SCORE = {"type": "number", "minimum": 1, "maximum": 10}
P_VALUE = {"type": "number", "minimum": 0, "maximum": 1}
STRATEGY = {"enum": ["synthetic_control", "query_as_control"]}


def table(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def list_of(**properties):
    return {"type": "array", "items": table(**properties)}


GENES = list_of(gene=TEXT, log2_fold_change=NUMBER, p_value=P_VALUE, adjusted_p_value=P_VALUE)
SCORES = {"type": "object", "additionalProperties": SCORE, "minProperties": 3}
RESULT = table(
    run_id=TEXT,
    success={"type": "boolean"},
    grounding_score=SCORE,
    grounding_scores=SCORES,
    termination_reason={"enum": ["threshold_reached", "plateau", "max_iterations", "stopped"]},
    num_de_genes=COUNT,
    top_upregulated=GENES,
    top_downregulated=GENES,
    enriched_pathways=list_of(
        pathway=TEXT, overlap=COUNT, size=COUNT, p_value=P_VALUE, adjusted_p_value=P_VALUE
    ),
    activated_tfs=list_of(
        tf=TEXT, targets=COUNT, z=NUMBER, p_value=P_VALUE, adjusted_p_value=P_VALUE
    ),
    control_strategy=STRATEGY,
    control_strategy_effective=STRATEGY,
    control_cells_available=COUNT,
    iterations=list_of(
        iteration=COUNT,
        score=SCORE,
        scores=SCORES,
        num_de_genes=COUNT,
        prompt_strategy=TEXT,
        prompt_cells=COUNT,
        reason=TEXT,
    ),
    files=table(anndata=TEXT, report=TEXT, log=TEXT),
)


class Page(HTMLParser):
    """Collects tags, and attributes that could load something."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loading = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.loading += [a for a in attributes if a[0] in {"src", "href", "action", "srcset"}]
        self.loading += [a for a in attributes if a[0].startswith("on")]


def test_the_result_has_its_documented_fields(usual_run):
    _, directory = usual_run
    content = (directory / "result.json").read_bytes()
    found = json.loads(content)
    jsonschema_rs.validate(RESULT, found)
    assert len(content) < MAX_RESULT_BYTES
    assert found["grounding_score"] == max(item["score"] for item in found["iterations"])
    assert found["num_de_genes"] == len(found["top_upregulated"]) + len(found["top_downregulated"])
    assert all((directory / name).is_file() for name in found["files"].values())
    assert len(list(directory.iterdir())) == 4


def test_the_same_seed_gives_the_same_bytes(usual_run, run_here, tmp_path):
    _, directory = usual_run
    run_here(tmp_path)
    for name in ("result.json", "run_0123456789ab_log.json", "run_0123456789ab_report.html"):
        assert (tmp_path / name).read_bytes() == (directory / name).read_bytes()


def test_the_predictions_open_with_anndata(usual_run):
    outcome, directory = usual_run
    found = anndata.read_h5ad(directory / "run_0123456789ab_predictions.h5ad")
    cells = len(outcome.subject.cells.positions)
    assert found.shape == (2 * cells, 400)
    assert found.uns["synthetic"]
    assert found.uns["notice"].startswith("SYNTHETIC")
    assert found.uns["grounding_score"] == outcome.best.evaluation.score
    treated = found[found.obs["arm"] == "predicted_treated"]
    control = found[found.obs["arm"] == "control"]
    assert (treated.obs["source_cell"].to_numpy() == control.obs["source_cell"].to_numpy()).all()
    change = treated.X.mean(axis=0) - control.X.mean(axis=0)
    assert np.allclose(change, found.var["log2_fold_change"], atol=1e-4)
    assert found.var["is_significant"].sum() == int(outcome.best.expression.is_significant.sum())


def test_other_readers_know_how_strings_are_stored(usual_run):
    _, directory = usual_run
    found = set()
    with h5py.File(directory / "run_0123456789ab_predictions.h5ad") as file:
        file.visititems(lambda _, item: found.add(item.attrs.get("encoding-type")))
    assert "string-array" in found
    assert not any("nullable" in str(encoding) for encoding in found)


def test_the_log_names_every_iteration_and_no_language_model(usual_run):
    outcome, directory = usual_run
    found = json.loads((directory / "run_0123456789ab_log.json").read_text())
    assert found["language_model_calls"] == 0
    assert len(found["iterations"]) == len(outcome.records)
    assert len(found["iterations"][0]["prompt_cell_ids"]) == 40


def test_the_report_needs_nothing_from_outside(usual_run):
    _, directory = usual_run
    text = (directory / "run_0123456789ab_report.html").read_text()
    page = Page(text)
    assert page.loading == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert {"svg", "table"} <= page.tags
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
    assert "Synthetic data" in text


def test_a_query_cannot_put_markup_into_the_report(run_here, tmp_path):
    query = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt; TNF on monocytes"
    run_here(tmp_path, QUERY=query, MAX_ITERATIONS="1", RUN_ID="r")
    text = (tmp_path / "r_report.html").read_text()
    page = Page(text)
    assert not page.tags & {"script", "img"}
    assert page.loading == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_unfinished_files_of_a_killed_run_are_replaced(run_here, tmp_path):
    (tmp_path / ".r_report.html.part").write_text("half")
    (tmp_path / "result.json").write_text("old")
    run_here(tmp_path, RUN_ID="r", MAX_ITERATIONS="1")
    assert json.loads((tmp_path / "result.json").read_text())["run_id"] == "r"
    assert len(list(tmp_path.iterdir())) == 4
