"""The command, as a user runs it: what it prints, writes and exits with."""

import hashlib
import io
import itertools
import json
import math
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from engine_models import make_policies, make_scenarios, write_model

from engine.command.commands import main
from engine.output.run import Changes, Request, run
from engine.parity.golden_set import GOLDEN
from engine.valuation import progress

CASE = GOLDEN / "term_life_100x10"
PERCENTILES = ["p0.5", "p1", "p5", "p50", "p75", "p90", "p95", "p99"]
RATES = {"scenarios": {"count": 50, "seed": 7}}


@pytest.fixture
def root(tmp_path):
    return write_model(tmp_path / "model", make_policies(30), make_scenarios(4))


def change(root, **settings):
    path = root / "livecalc.config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_a_run_from_the_shell(tmp_path):
    """Table on standard output, progress for machines on standard error, files in their place."""
    command = [sys.executable, "-m", "engine", "run", str(CASE), "--output", str(tmp_path)]
    done = subprocess.run([*command, "--threads", "2"], capture_output=True, text=True, check=True)
    assert "100 policies, 10 scenarios" in done.stdout
    assert re.search(r"Mean NPV +347,652\.49\n", done.stdout)
    assert "█" in done.stdout
    first, *lines = done.stderr.splitlines()
    assert first.startswith("::initialized {")
    assert all(line.startswith("::progress {") for line in lines)
    reports = [json.loads(line.removeprefix("::progress ")) for line in lines]
    assert reports[0] == {"current": 0, "total": 1, "phase": "load"}
    assert reports[-1] == {"current": 10, "total": 10, "phase": "scenarios"}
    assert sorted(os.listdir(tmp_path)) == ["npv.npy", "results.json", "timings.json"]


def test_what_is_valued_is_said_first(root, capsys):
    """Once, for programs: the model's name, and its files' number and hash."""
    change(root, name="term life")
    assert main(["run", str(root)]) == 0
    first, *others = capsys.readouterr().err.splitlines()
    assert not any(line.startswith("::initialized") for line in others)
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    summed = [f"{hashlib.sha256((root / name).read_bytes()).hexdigest()}  {name}" for name in names]
    listing = "".join(f"{line}\n" for line in sorted(summed))
    assert json.loads(first.removeprefix("::initialized ")) == {
        "pipelineId": "term life",
        "assetsHash": hashlib.sha256(listing.encode()).hexdigest(),
        "nodeCount": len(names),
    }
    change(root, name="")
    assert main(["run", str(root)]) == 0
    assert '"pipelineId":null' in capsys.readouterr().err.splitlines()[0]


def test_a_model_with_a_missing_file_says_nothing_of_what_is_valued(root, capsys):
    change(root, policies="nowhere.csv")
    assert main(["run", str(root)]) == 1
    error = capsys.readouterr().err
    assert "::initialized" not in error
    assert "does not exist" in error


def test_results_are_canonical(tmp_path, capsys):
    assert main(["run", str(CASE), "--output", str(tmp_path), "--json"]) == 0
    text = (tmp_path / "results.json").read_text()
    assert capsys.readouterr().out == text
    document = json.loads(text)
    assert set(document) == {
        "statistics", "scenario_count", "policy_count", "distribution", "result_hash", "warnings"
    }  # fmt: skip
    assert set(document["statistics"]) == {
        "mean_npv", "std_dev", "percentiles", "cte_95", "min", "max"
    }  # fmt: skip
    assert list(document["statistics"]["percentiles"]) == PERCENTILES
    claimed = document.pop("result_hash")
    assert "whole-life" in document.pop("warnings")[0]
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(canonical).hexdigest() == claimed
    assert np.load(tmp_path / "npv.npy").tolist() == document["distribution"]
    timings = json.loads((tmp_path / "timings.json").read_text())
    assert set(timings) >= {"load_seconds", "value_seconds", "peak_memory_bytes", "threads"}


def test_options_change_what_the_model_says(root, capsys):
    change(root, **RATES)

    def result(*options):
        assert main(["run", str(root), "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    plain = result()
    assert plain["scenario_count"] == 50
    assert result("--seed", "7")["result_hash"] == plain["result_hash"]
    assert result("--seed", "8")["result_hash"] != plain["result_hash"]
    assert result("--scenarios", "20")["distribution"] == plain["distribution"][:20]
    for option in ("--mortality-mult", "--lapse-mult", "--expense-mult"):
        assert result(option, "1")["result_hash"] == plain["result_hash"]
        assert result(option, "1.5")["result_hash"] != plain["result_hash"]
    for options in (["--threads", "3"], ["--block-size", "7"], ["--max-memory", "64M"]):
        assert result(*options)["result_hash"] == plain["result_hash"]


def test_values_by_policy_are_written(root, tmp_path, capsys):
    options = ["--per-policy", "--output", str(tmp_path / "a"), "--max-memory", "200K"]
    assert main(["run", str(root), *options]) == 0
    assert "policies have a mean NPV below zero" in capsys.readouterr().out
    matrix = np.load(tmp_path / "a" / "policy_npv.npy")
    assert matrix.shape == (30, 4)
    npv = np.load(tmp_path / "a" / "npv.npy")
    np.testing.assert_allclose(matrix.sum(axis=0), npv, rtol=1e-12)
    assert main(["run", str(root), "--per-policy", "--max-memory", "1K"]) == 2
    assert "values by policy of 4 scenarios need" in capsys.readouterr().err


def test_cash_flows_and_parts_are_written(root, tmp_path):
    output = {"showCashflows": True, "breakdown": ["gender", "region"], "percentiles": [5, 99.5]}
    change(root, output=output | {"acceptNoMaturity": True})
    assert main(["run", str(root), "--output", str(tmp_path)]) == 0
    flows = json.loads((tmp_path / "cash_flows.json").read_text())
    assert flows["policies"][0] == 30.0
    assert {len(years) for years in flows.values()} == {50}
    parts = json.loads((tmp_path / "breakdown.json").read_text())
    assert set(parts) == {"gender", "region"}
    for part in parts.values():
        assert sum(entry["policy_count"] for entry in part.values()) == 30
    result = json.loads((tmp_path / "results.json").read_text())
    assert set(result["statistics"]["percentiles"]) == {"p5", "p99.5"}
    whole = sum(entry["statistics"]["mean_npv"] for entry in parts["region"].values())
    assert whole == pytest.approx(result["statistics"]["mean_npv"], rel=1e-12)


@pytest.mark.parametrize("way", ["fixed", "dynamic", "hooks"])
def test_cash_flows_are_those_behind_the_values(root, way):
    """At a rate of zero the value is the sum of the net flows, in every way of valuing."""
    change(root, scenarios={"count": 3, "interestRate": {"initial": 0.0}})
    output = {"showCashflows": True, "showDistribution": False, "acceptNoMaturity": True}
    change(root, output=output)
    if way == "dynamic":
        settings = {"sensitivity": 5, "referenceRate": 0.02, "minMultiplier": 0, "maxMultiplier": 9}
        change(root, dynamicLapse=settings)
    if way == "hooks":
        change(root, hooks="h.py")
        (root / "h.py").write_text("def adjust_mortality(policies, year, lives, rates): return 1.5")
    result = run(Request(root, Changes()))
    assert "distribution" not in result.document
    total = result.valuation.flows.net.sum()
    np.testing.assert_allclose(result.valuation.npv, total, rtol=1e-12)


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_plots(root, tmp_path, ending):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"plot{ending}"
    assert main(["run", str(root), "--plot", str(path)]) == 0
    start = path.read_bytes()[:100]
    assert b"PNG" in start if ending == ".png" else b"<?xml" in start


@pytest.mark.parametrize("ulps", [0, 5, 40, 60, 80, 1000])
def test_values_that_nearly_agree_are_shown(root, tmp_path, capsys, ulps):
    pytest.importorskip("matplotlib")
    text = (root / "scenarios.csv").read_text().splitlines()
    rates = [repr(0.03 + n * math.ulp(0.03)) for n in (0, ulps)]
    rows = [f"{n},{','.join([rate] * 50)}" for n, rate in enumerate(rates)]
    (root / "scenarios.csv").write_text("\n".join([text[0], *rows]))
    assert main(["run", str(root), "--plot", str(tmp_path / "plot.svg")]) == 0
    bars = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if " … " in line]
    assert sum(map(int, bars)) == 2


def svg_of(root, path, *options):
    """The text of a plot of the model."""
    assert main(["run", str(root), "--plot", str(path), *options]) == 0
    return path.read_text()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Term & life $x_1$ <2026>", "Term &amp; life $x_1$ &lt;2026&gt;"),
        ("two\nlines\x00", "two lines"),
        ("n" * 500, "…"),
        (None, "model"),
        ({"not": "a text"}, "model"),
    ],
)
def test_a_plot_has_the_models_name(root, tmp_path, name, shown):
    pytest.importorskip("matplotlib")
    change(root, name=name)
    text = svg_of(root, tmp_path / "plot.svg")
    assert f"<!-- {shown}" in text.replace("<!--\n", "<!-- ") or f"{shown}\n" in text


@pytest.mark.parametrize("count", [1, 8, 30])
def test_lines_of_a_plot_can_be_told_apart(root, tmp_path, monkeypatch, count):
    axes_module = pytest.importorskip("matplotlib.axes")
    lines, spans = [], []
    line, span = axes_module.Axes.axvline, axes_module.Axes.axvspan
    monkeypatch.setattr(
        axes_module.Axes, "axvline", lambda *a, **k: lines.append(line(*a, **k)) or lines[-1]
    )
    monkeypatch.setattr(
        axes_module.Axes, "axvspan", lambda *a, **k: spans.append((a[1:], k)) or span(*a, **k)
    )
    output = {"percentiles": list(range(count)), "acceptNoMaturity": True}
    change(root, output=output if count != 8 else {"acceptNoMaturity": True})
    svg_of(root, tmp_path / "plot.svg")
    styles = {(tuple(np.ravel(entry.get_color())), entry.get_linestyle()) for entry in lines}
    assert len(lines) == len(styles) == count + 2
    npv = run(Request(root, Changes())).valuation.npv
    (((start, end), settings),) = spans
    assert (start, settings["label"]) == (npv.min(), "Lowest 5 %")
    assert end == pytest.approx(np.percentile(npv, 5), rel=1e-12)


def test_a_plot_on_a_slow_machine(root, tmp_path, monkeypatch):
    """Nothing is tried until a time is over: matplotlib would warn of that."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(time, "perf_counter", itertools.count(step=60).__next__)
    svg_of(root, tmp_path / "plot.svg")


def test_a_plot_of_another_kind_is_refused_at_once(root, capsys):
    assert main(["run", str(root), "--plot", "x.gif"]) == 2
    assert "a plot ends in .png or .svg" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["run"], ["run", "x", "--threads", "0"], ["run", "x", "--lapse-mult", "nan"],
        ["run", "x", "--seed", "-1"], ["run", "x", "--max-memory", "much"], ["sing"],
    ],
)  # fmt: skip
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.match(r"python -m engine( \w+)?: error: .+\n\nusage: python -m engine", error)


def test_model_errors_exit_with_one(root, capsys):
    (root / "lapse.csv").write_text("year,lapse_rate\n1,2\n")
    for command in ("run", "validate"):
        assert main([command, str(root)]) == 1
        error = capsys.readouterr().err
        assert "lapse.csv, row 2, column lapse_rate: '2' is out of range" in error
        assert "Traceback" not in error
    assert main(["validate", str(root / "gone")]) == 1
    assert main(["validate", str(CASE)]) == 0
    assert capsys.readouterr().out == "valid: 100 policies, 10 scenarios\n"


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("raise KeyError('smokers')", "KeyError: 'smokers'"),
        ("return lives[:1, :1] * [[1, 2, 3]]", "returned an array of shape"),
        ("return -1", "returned a multiplier that is negative"),
        ("return float('nan')", "returned a multiplier that is negative, infinite or not a number"),
        ("lives[0] = 2", "ValueError: assignment destination is read-only"),
        ("return 'many'", "ValueError: could not convert string"),
    ],
)
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_failing_hook_fails_the_run(root, tmp_path, capsys, hook, message, threads):
    change(root, hooks="h.py")
    (root / "h.py").write_text(f"def adjust_lapse(policies, year, lives, rates):\n    {hook}\n")
    options = ["--output", str(tmp_path / "out"), "--per-policy", "--threads", threads]
    assert main(["run", str(root), *options]) == 3
    error = capsys.readouterr().err
    assert message in error
    assert "h.py" in error
    assert "engine/" not in error
    assert list((tmp_path / "out").iterdir()) == []


def test_hooks_that_cannot_be_loaded(root, capsys):
    change(root, hooks={"file": "h.py"})
    for text, status in (("def (", 3), ("1/0", 3), ("x = 1", 1), ("adjust_lapse = 5", 1)):
        (root / "h.py").write_text(text)
        assert main(["run", str(root)]) == status
        assert "h.py" in capsys.readouterr().err


def test_overflow_is_an_error(root, capsys):
    text = (root / "scenarios.csv").read_text().splitlines()
    years = ",".join(["-0.9999999999999999"] * 50)
    (root / "scenarios.csv").write_text("\n".join([text[0], f"1,{years}"]))
    assert main(["run", str(root)]) == 3
    assert "overflow" in capsys.readouterr().err


def test_output_that_cannot_be_written(root, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    refused_at_once(root, capsys, "--output", tmp_path / "file" / "x")
    refused_at_once(root, capsys, "--output", tmp_path / "file")
    (tmp_path / "out" / "npv.npy").mkdir(parents=True)
    refused_at_once(root, capsys, "--output", tmp_path / "out")


def test_a_plot_that_cannot_be_written(root, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    (tmp_path / "dir.svg").mkdir()
    refused_at_once(root, capsys, "--plot", tmp_path / "file" / "x.png")
    refused_at_once(root, capsys, "--plot", tmp_path / "dir.svg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(root, tmp_path, capsys):
    (tmp_path / "closed").mkdir(mode=0o555)
    refused_at_once(root, capsys, "--output", tmp_path / "closed")
    refused_at_once(root, capsys, "--output", tmp_path / "closed" / "new")


def test_a_directory_is_made_for_results_only(root, tmp_path):
    (root / "lapse.csv").write_text("")
    assert main(["run", str(root), "--output", str(tmp_path / "a" / "b")]) == 1
    assert not (tmp_path / "a").exists()


def refused_at_once(root, capsys, option, path):
    """Before anything is loaded, with the place and what to do."""
    before = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    assert main(["run", str(root), option, str(path)]) == 3
    error = capsys.readouterr().err
    assert f"cannot write {path}" in error
    assert "Choose another path" in error
    assert "::progress" not in error
    assert (sorted(path.parent.iterdir()) if path.parent.is_dir() else []) == before


def test_a_seed_does_not_go_with_scenarios_from_a_file(root, capsys):
    assert main(["run", str(root), "--seed", "1"]) == 2
    assert "--seed: the scenarios are those of scenarios.csv" in capsys.readouterr().err


def test_scenarios_can_be_written_and_read_back(root, tmp_path, capsys):
    change(root, **RATES)
    assert main(["scenarios", str(root), "--output", str(tmp_path / "s.csv")]) == 0
    assert main(["scenarios", str(root), "--output", str(tmp_path / "s.npy")]) == 0
    assert main(["scenarios", str(root)]) == 0
    assert capsys.readouterr().out == (tmp_path / "s.csv").read_text()
    generated = run(Request(root, Changes()))
    (root / "s.csv").write_bytes((tmp_path / "s.csv").read_bytes())
    change(root, scenarios={"file": "s.csv"})
    assert run(Request(root, Changes())).document == generated.document
    assert np.load(tmp_path / "s.npy").shape == (50, 50)


def test_scenarios_of_options(capsys):
    options = ["--count", "3", "--initial", "0.03", "--volatility", "0", "--drift", "0"]
    assert main(["scenarios", *options, "--rng", "mt19937_64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == "3," + ",".join(["0.03"] * 50)
    for bad in (["--volatility", "nan"], ["--min-rate", "0.5"], ["--output", "x.txt"]):
        assert main(["scenarios", *bad]) == 2
    assert main(["scenarios", str(CASE)]) == 2


def test_a_reader_that_goes_away_is_no_traceback():
    command = [sys.executable, "-m", "engine", "scenarios", "--count", "2000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar():
    stream = Terminal()
    bar = progress.for_stream(stream)
    bar.update("load", 0, 2)
    bar.update("load", 2, 2)
    assert "\r" in stream.getvalue()
    assert "█" in stream.getvalue()
    assert stream.getvalue().endswith("\n")


def test_reports_come_at_a_bearable_rate():
    stream = io.StringIO()
    lines = progress.for_stream(stream)
    for step in range(10_001):
        lines.update("policies", step, 10_000)
    found = stream.getvalue().splitlines()
    assert json.loads(found[0].split(" ", 1)[1])["current"] == 0
    assert json.loads(found[-1].split(" ", 1)[1])["current"] == 10_000
    assert len(found) < 100


def test_parity_and_bench_are_there(monkeypatch, capsys):
    monkeypatch.setattr("engine.parity.places.PROCESSORS", {"here": {}})
    assert main(["parity", "--no-image"]) == 0
    assert capsys.readouterr().out == "same   here\n"
    monkeypatch.setattr("engine.command.bench.REPEATS", 1)
    monkeypatch.setattr("engine.command.bench.write_portfolio", few_policies)
    assert main(["bench", "--quick", "--json"]) == 0
    timings = json.loads(capsys.readouterr().out)["timings"]
    assert len(timings) == 5
    assert all(0 < timing["best"] <= timing["median"] for timing in timings)


def few_policies(path, count):
    path.write_bytes((CASE / "policies.csv").read_bytes())
