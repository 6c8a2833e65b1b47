"""The catalogue of the worked example over HTTP, imported by `ci-admin` beside the server."""

import json

import pytest

from support.catalogues import CELLS, SYNONYMS, a_group, write_csv
from support.live_server import LiveServer
from support.run_schemas import ASSESSMENT, CELL_TYPES, DATASETS, PERTURBATIONS, checked, refused

METADATA = "/api/v1/metadata"
VALIDATE = "/api/v1/runs/validate-control-strategy"
QUERY = "How do CD4 T cells respond to interferon-beta?"
BLOOD, LUNG = "synthetic_blood_atlas", "synthetic_lung_atlas"
QUESTION = {"query": QUERY, "control_strategy": "synthetic_control"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Synonyms were imported before it was started for the first time; no cells."""
    directory = tmp_path_factory.mktemp("metadata")
    with LiveServer(directory, controller="external", control_names="dmso, Phosphate") as server:
        done = server.admin("catalogue", "import", SYNONYMS)
        assert (done.returncode, done.stdout) == (0, "synonyms: replaced by 42 rows\n")
        yield server.start()


@pytest.fixture(scope="module")
def before(server):
    """What it answers without cells."""
    paths = (f"{METADATA}/{name}" for name in ("datasets", "perturbations", "cell-types"))
    return [*map(server.http.get, paths), ask(server)]


@pytest.fixture(scope="module")
def imported(server, before):
    """With the catalogue; a test that changes it puts it back."""
    done = server.admin("catalogue", "import", CELLS, SYNONYMS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "cells: replaced by 154 rows of 3 datasets",
        "synonyms: replaced by 42 rows",
    ]
    return server


def ask(server, **changed):
    return server.http.post(VALIDATE, json={**QUESTION, **changed})


def test_without_cells_everything_is_empty(before):
    *lists, assessment = before
    assert [checked(answer, {"type": "array"}) for answer in lists] == [[], [], []]
    found = checked(assessment, ASSESSMENT)
    assert not found["synthetic_control_available"]
    assert "ci-admin catalogue import" in found["warning"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_what_the_catalogue_has(imported, slash):
    get = imported.http.get
    names = checked(get(f"{METADATA}/datasets{slash}"), DATASETS)
    assert names == [BLOOD, LUNG, "synthetic_reference_atlas"]
    perturbations = checked(get(f"{METADATA}/perturbations{slash}"), PERTURBATIONS)
    order = [(-found["total_cells"], found["perturbation_name"]) for found in perturbations]
    assert order == sorted(order)
    assert len(perturbations) == 9
    assert sum(found["total_cells"] for found in perturbations) == 3384
    tnf = next(p for p in perturbations if p["perturbation_name"] == "tumor necrosis factor")
    assert tnf["perturbation_type"] == "cytokine"
    assert tnf["datasets_present"] == [BLOOD, LUNG]
    assert tnf["cell_types_present"] == sorted(tnf["cell_types_present"])
    cell_types = checked(get(f"{METADATA}/cell-types{slash}"), CELL_TYPES)
    assert sum(found["total_cells"] for found in cell_types) == 3384
    fibroblast = next(c for c in cell_types if c["cell_type_name"] == "fibroblast")
    assert fibroblast["cell_type_cl_id"] == "CL:0000057"
    assert "DMSO" in fibroblast["perturbations_present"]


def test_filters(imported):
    def found(path, **params):
        answer = imported.http.get(f"{METADATA}/{path}", params=params)
        schema = PERTURBATIONS if path == "perturbations" else CELL_TYPES
        return checked(answer, schema)

    controls = found("perturbations", dataset=BLOOD, perturbation_type="control")
    assert [one["perturbation_name"] for one in controls] == ["PBS"]
    assert all(one["datasets_present"] == [LUNG] for one in found("cell-types", dataset=LUNG))
    assert found("perturbations", dataset="", perturbation_type="") == found("perturbations")
    for nothing in ("no such", "SYNTHETIC_LUNG_ATLAS", "%", "' OR 1=1 --", "\x00", "x" * 5000):
        assert found("perturbations", dataset=nothing) == []
        assert found("perturbations", perturbation_type=nothing) == []
        assert found("cell-types", dataset=nothing) == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_strategy_is_validated(imported, slash):
    found = checked(imported.http.post(f"{VALIDATE}{slash}", json=QUESTION), ASSESSMENT)
    assert found["synthetic_control_available"]
    assert found["control_cells_found"] == 94
    assert len(found["control_donors"]) == 4
    assert found["control_conditions"] == ["24 h"]
    assert found["warning"] is None
    assert found["recommendation"].startswith("synthetic_control: ")


@pytest.mark.parametrize("query", ['"*) OR NEAR(', "x" * 10_000, "🧬" * 10_000])
def test_a_hostile_query_is_only_words(imported, query):
    found = checked(ask(imported, query=query), ASSESSMENT)
    assert "names no treatment" in found["warning"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"query": "x" * 9}, "query: "),
        ({"query": "x" * 10_001}, "query: "),
        ({"query": "\x00" * 10}, "query: "),
        ({"query": 1234567890}, "query: "),
        ({"control_strategy": "best_control"}, "control_strategy: "),
        ({"control_strategy": None}, "control_strategy: "),
        ({"queries": 1}, "queries: "),
    ],
)
def test_a_wrong_field_is_refused_and_named(imported, changed, told):
    assert refused(ask(imported, **changed), 422, "invalid_request").startswith(told)


def test_a_body_that_is_none_is_refused(imported):
    whole = json.dumps(QUESTION)
    for content in (
        "",
        "[]",
        whole[:-1],
        f"{whole[:-1]}, {whole[1:]}",
        json.dumps({"query": QUERY}),
    ):
        answer = imported.http.post(
            VALIDATE, content=content, headers={"Content-Type": "application/json"}
        )
        refused(answer, 422, "invalid_request")
    for kind in ({}, {"Content-Type": "text/plain"}):
        answer = imported.http.post(VALIDATE, content=whole, headers=kind)
        assert "Content-Type: application/json" in refused(answer, 422, "invalid_request")
    assert "256 KiB" in refused(ask(imported, query="x" * (256 << 10)), 413, "upload_too_large")
    for method in ("GET", "PUT"):
        answer = imported.http.request(method, VALIDATE)
        assert answer.status_code in (404, 405)


def test_control_names_are_a_setting(imported, tmp_path):
    named = {"perturbation_name": "PHOSPHATE", "perturbation_type": "drug", "donor": "donor_2"}
    cells = write_csv(tmp_path / "cells.csv", [a_group(), a_group(**named)])
    done = imported.admin("catalogue", "import", cells)
    assert done.stdout == "cells: replaced by 2 rows of 1 dataset\n"
    assert "warning: 39 synonyms for names that no cells have, such as 'CD14 " in done.stderr
    found = checked(ask(imported, query="interleukin-4 on B cells"), ASSESSMENT)
    assert (found["control_cells_found"], found["control_donors"]) == (30, ["donor_2"])
    assert imported.admin("catalogue", "import", CELLS).returncode == 0
    assert checked(ask(imported), ASSESSMENT)["control_cells_found"] == 94


def test_nothing_is_imported_when_anything_is_wrong(imported, tmp_path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(SYNONYMS.read_text() + "B cell,,cell_type\n,x,gene\n")
    cells = write_csv(tmp_path / "cells.csv", [a_group()])
    done = imported.admin("catalogue", "import", cells, wrong)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"ci-admin: {wrong}, row 44, column synonym: is empty",
        f"ci-admin: {wrong}, row 45, column canonical_name: is empty",
        f"ci-admin: {wrong}, row 45, column entity_type: 'gene' must be cell_type or perturbation",
        "ci-admin: nothing was imported",
    ]
    shown = json.loads(imported.admin("catalogue", "show", "--json").stdout)
    assert shown["synonyms"] == 42
    assert shown["datasets"][1] == {
        "dataset": LUNG,
        "rows": 48,
        "cells": 1056,
        "cell_types": 3,
        "perturbations": 4,
        "donors": 4,
    }
