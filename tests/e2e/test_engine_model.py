"""`ci submit engine`: a model valued in a container, with the same bytes as on this machine."""

import json
import shutil

import pytest

from support.live_server import ROOT

pytestmark = pytest.mark.docker

FILES = {
    ".gitignore",
    "results.json",
    "npv.npy",
    "npv.png",
    "timings.json",
    "cash_flows.json",
    "breakdown.json",
}


@pytest.fixture
def model(tmp_path):
    """The example, in a directory of the user's."""
    return shutil.copytree(ROOT / "examples/term_life", tmp_path / "portfolio")


def test_the_same_bytes_here_and_there(user, model):
    options = ("--scenarios", 20, "--seed", 7, "--threads", 2, "--lapse-mult", "1.1")
    done = user.run("engine", "--path", model, *options, "--verify-local", name="ci-submit")
    assert done.code == 0, done.err
    results = user.directory / f"portfolio-results-{done.job_id[:8]}"
    assert {file.name for file in results.iterdir()} == FILES
    found = json.loads((results / "results.json").read_bytes())
    assert (found["policy_count"], found["scenario_count"]) == (10_000, 20)
    assert f"The local result is the same: {found['result_hash']}" in done.err
    assert "10,000 policies, 20 scenarios\n  Mean NPV" in done.err
    assert (results / "npv.png").read_bytes().startswith(b"\x89PNG")
    assert b'::progress {"current":20,"total":20' in done.out
    assert b"Matplotlib" not in done.out
    assert "hooks" in done.err


def test_hooks_and_values_by_policy(user, model):
    (model / "hooks.py").write_text(
        "import numpy as np\n\n\n"
        "def adjust_lapse(policies, year, lives, rates):\n    return np.where(rates > 0.03, 2, 1)\n"
    )
    (model / "numpy.py").write_text("raise SystemExit('a file of the model, not numpy')\n")
    text = (model / "model.toml").read_text()
    (model / "model.toml").write_text(f'hooks = "hooks.py"\n{text}')
    options = ("--scenarios", 5, "--per-policy", "--verify-local", "--output", "out")
    done = user.run("submit", "engine", "--path", model, *options)
    assert done.code == 0, done.err
    made = {file.name for file in (user.directory / "out").iterdir()}
    assert made > FILES
    assert any("polic" in name for name in made)


def test_a_model_that_is_not_valid(user, model):
    expenses = model / "expenses.csv"
    expenses.write_text(expenses.read_text().replace("claim_expense", "unheard_of"))
    done = user.run("submit", "engine", "--path", model, "--scenarios", 5)
    assert done.code == 1
    assert b"expenses.csv" in done.out
    assert b"unheard_of" in done.out
    assert not list(user.directory.glob("*results*"))


def test_a_hook_that_fails(user, model):
    (model / "hooks.py").write_text("def adjust_lapse(*_):\n    raise OSError('no luck')\n")
    text = (model / "model.toml").read_text()
    (model / "model.toml").write_text(f'hooks = "hooks.py"\n{text}')
    done = user.run("submit", "engine", "--path", model, "--scenarios", 5)
    assert done.code == 1
    assert b"no luck" in done.out


def test_a_job_of_the_project_comes_first(user, model):
    (model / "ci.toml").write_text('[jobs.engine]\ncommand = ["echo", "the project\'s own"]\n')
    done = user.run("submit", "engine", "--path", model)
    assert (done.code, done.out) == (0, b"the project's own\n")
