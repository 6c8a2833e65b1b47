"""Models that try what no sensible model does: each is refused in words, and by its exit code."""

import io
import json
import zipfile

import pytest
from engine_models import make_policies, make_scenarios, write_lines, write_model

from engine.command.commands import main


@pytest.fixture
def root(tmp_path):
    return write_model(tmp_path / "model", make_policies(12), make_scenarios(4))


def change(root, **settings):
    path = root / "livecalc.config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def refused(capsys, *arguments, status=1):
    """The messages of a command that exits with `status` and prints no result."""
    assert main([str(argument) for argument in arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    return [
        line for line in err.splitlines() if not line.startswith(("::progress", "::initialized"))
    ]


def hook(root, body):
    change(root, hooks="h.py")
    text = (
        f"import sys\nimport numpy as np\n\ndef adjust_lapse(policies, year, lives, rates):\n{body}"
    )
    (root / "h.py").write_text(text)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit(0)", "SystemExit: 0"),
        ("return lives * 1j", "complex numbers are not valid multipliers"),
        ("return np.ma.masked_less(lives, 2)", "masked arrays"),
        ("return None", "not a number"),
        ("return [[1], [1, 2]]", "inhomogeneous"),
        ("policies.premium[:] = 0", "read-only"),
        ("lives[:] = 0", "read-only"),
    ],
)
def test_hooks_that_would_be_taken_for_no_adjustment(root, capsys, threads, body, message):
    hook(root, f"    {body}\n")
    lines = refused(capsys, "run", root, "--json", "--threads", threads, status=3)
    assert message in "\n".join(lines)


def test_a_hooks_file_that_exits(root, capsys):
    hook(root, "    return 1\n\nsys.exit(0)\n")
    assert "SystemExit" in "\n".join(refused(capsys, "run", root, status=3))


def test_what_a_hook_prints_is_not_in_the_result(root, capsys):
    hook(root, "    print('hello')\n    return 1\n\nprint('loaded')\n")
    assert main(["run", str(root), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["policy_count"] == 12
    assert "loaded" in err
    assert "hello" in err


@pytest.mark.parametrize("name", ["livecalc.config.json", "manifest.json"])
def test_json_that_is_too_deep(root, capsys, name):
    (root / name).write_text("[" * 100_000)
    assert refused(capsys, "run", root)[0].startswith(f"{name}: cannot be read")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multipliers": {"lapse": 10**400}}, "multipliers.lapse"),
        ({"output": {"percentiles": [10**400]}}, "output.percentiles"),
        ({"policies": None}, "setting policies: is missing"),
        ({"scenarios": None}, "setting scenarios: is missing"),
        ({"policies": "a" * 5000}, "does not exist"),
        ({"policies": "\ud800"}, "does not exist"),
    ],
)
def test_settings_out_of_this_world(root, capsys, settings, message):
    change(root, **settings)
    assert message in refused(capsys, "run", root)[0]


def test_statistics_that_overflow(root, capsys):
    lines = (root / "scenarios.csv").read_text().splitlines()
    lines[1] = "1," + ",".join(["-0.99999"] * 50)
    write_lines(root / "scenarios.csv", lines)
    assert "the inputs overflow" in refused(capsys, "run", root, status=3)[0]


def test_multipliers_may_be_huge(root, capsys):
    results = []
    for factor in ("1e6", "1e15"):
        options = ["--mortality-mult", factor, "--lapse-mult", factor]
        assert main(["run", str(root), "--json", *options]) == 0
        results.append(json.loads(capsys.readouterr().out)["result_hash"])
    assert results[0] == results[1]


@pytest.mark.parametrize("rate", ["-1", "nan", "", "-1.5"])
def test_a_wide_scenario_of_wrong_rates_is_not_taken_for_a_long_file(root, capsys, rate):
    lines = (root / "scenarios.csv").read_text().splitlines()
    lines[2] = "2," + ",".join([rate] * 50)
    write_lines(root / "scenarios.csv", lines)
    found = refused(capsys, "run", root)
    assert found[0].startswith(f"scenarios.csv, row 3, column year_1: '{rate}' is")
    assert found[19:] == [found[19], "… and 30 more"]


@pytest.mark.parametrize(
    ("change_text", "message"),
    [
        (lambda text: f'"{text}', "row 1: is not valid CSV"),
        (lambda text: text.replace("\n", "\r"), "row 1: is not valid CSV"),
        (lambda text: "x" * 200_000 + text, "row 1: is not valid CSV: field larger"),
        (lambda text: text.replace("\n1,", '\n"1"x,', 1), "row 2: is not valid CSV"),
        (lambda text: text.replace("\n3,", '\n"3,', 1), "row 4: is not valid CSV"),
    ],
)
def test_syntax_of_csv(root, capsys, change_text, message):
    path = root / "policies_0.csv"
    path.write_text(change_text(path.read_text()), newline="")
    assert message in refused(capsys, "run", root)[0]


def test_a_mistake_of_syntax_in_a_later_batch_has_its_row(root, capsys, monkeypatch):
    monkeypatch.setattr("engine.tables.table.BATCH_ROWS", 3)
    path = root / "policies_0.csv"
    path.write_text(path.read_text().replace("\n1,", '\n"1",', 1).replace("\n8,", '\n"8"x,', 1))
    assert "row 9: is not valid CSV" in refused(capsys, "run", root)[0]


def packed(root, path, *entries, prefix="", compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(root.iterdir()):
            archive.write(file, prefix + file.name)
        for name in entries:
            archive.writestr(name, "x")
    return path


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (("x", "x/y"), "is both a file and a directory"),
        (("x/y", "x"), "is both a file and a directory"),
        (("n" * 300,), "has too long a name"),
    ],
)
def test_zips_that_no_directory_could_be(root, tmp_path, capsys, entries, message):
    path = packed(root, tmp_path / "m.zip", *entries)
    assert message in refused(capsys, "run", path)[0]


def test_a_zip_of_a_mac(root, tmp_path, capsys):
    path = packed(root, tmp_path / "m.zip", "__MACOSX/._model", prefix="model/")
    assert main(["validate", str(path)]) == 0
    assert "12 policies" in capsys.readouterr().out


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_damaged_zips(root, tmp_path, capsys, compression):
    path = packed(root, tmp_path / "m.zip", compression=compression)
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = archive.getinfo("policies_0.csv").header_offset + 30 + len("policies_0.csv")
    refusals = 0
    for place in range(start + 8, start + 120, 9):
        damaged = bytearray(content)
        damaged[place] ^= 0x5A
        path.write_bytes(damaged)
        if main(["validate", str(path)]):  # some bits of a compressed text mean nothing
            refusals += 1
            assert "m.zip: is not a usable zip" in capsys.readouterr().err
    assert refusals > 8
