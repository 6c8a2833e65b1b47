"""Descriptions of models, and the packages they come in."""

import hashlib
import json
import math
import zipfile

import pytest
from engine_inputs import messages
from engine_models import make_policies, make_scenarios, write_lines, write_model

from engine.command.commands import main
from engine.model.config import parse_config
from engine.model.model import load_model
from engine.model.package import opened
from engine.output.run import Changes, Request, run


@pytest.fixture
def root(tmp_path):
    return write_model(tmp_path / "model", make_policies(5), make_scenarios(2))


CONFIG = {
    "model": "term_life",
    "policies": "p.csv",
    "assumptions": {"mortality": "m", "lapse": "l", "expenses": "e"},
    "scenarios": {"count": 10},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "whole_life"}, "setting model: 'whole_life' is not one of term_life"),
        ({"polices": 1}, "setting polices: unknown setting"),
        ({"policies": []}, "setting policies: '[]' is not a string or a list of strings"),
        ({"assumptions": {"mortality": "m"}}, "setting assumptions.lapse: is missing"),
        ({"scenarios": {"count": 0}}, "setting scenarios.count: '0' is not an integer from 1"),
        ({"scenarios": {"count": True}}, "setting scenarios.count: 'True' is not an integer"),
        ({"scenarios": {"rng": "lcg"}}, "scenarios.rng: 'lcg' is not one of philox, mt19937_64"),
        ({"scenarios": {"file": "s", "count": 1}}, "setting scenarios.count: unknown setting"),
        ({"scenarios": {"interestRate": {"initial": -1}}}, "interestRate.initial: '-1' is not a"),
        (
            {"scenarios": {"interestRate": {"minRate": 0.3}}},
            "interestRate.minRate: '0.3' is above maxRate",
        ),
        ({"multipliers": {"mortality": -1}}, "multipliers.mortality: '-1' is not a number from 0"),
        ({"multipliers": {"lapse": math.nan}}, "multipliers.lapse: 'nan' is not a number from 0"),
        ({"multipliers": []}, "setting multipliers: '[]' is not a section of settings"),
        ({"dynamicLapse": {"sensitivity": 1}}, "setting dynamicLapse.referenceRate: is missing"),
        ({"output": {"percentiles": [101]}}, "output.percentiles: '[101]' is not a list of"),
        ({"execution": {"maxMemory": "lots"}}, "execution.maxMemory: 'lots' is not a size"),
        ({"hooks": 5}, "setting hooks: '5' is not a section"),
    ],
)
def test_bad_descriptions(change, message):
    assert any(message in line for line in messages(parse_config, CONFIG | change, "model.toml"))


def test_toml_and_json_are_one_schema(root):
    document = json.loads((root / "livecalc.config.json").read_text())
    lines = [
        'model = "term_life"',
        f"policies = {json.dumps(document['policies'])}",
        "assumptions.mortality = 'local://mortality.csv'",
        "assumptions.lapse = 'lapse.csv'",
        "assumptions.expenses = 'expenses.csv'",
        "scenarios = {file = 'scenarios.csv'}",
        "output.acceptNoMaturity = true",
    ]
    expected = load_model(root)
    write_lines(root / "model.toml", lines)
    assert "both exist" in messages(load_model, root)[0]
    (root / "livecalc.config.json").unlink()
    assert (load_model(root).policies.premium == expected.policies.premium).all()
    write_lines(root / "model.toml", ["model = "])
    assert "model.toml: cannot be read" in messages(load_model, root)[0]
    (root / "model.toml").unlink()
    assert "not found" in messages(load_model, root)[0]


@pytest.mark.parametrize(
    "reference",
    ["../lapse.csv", "/etc/passwd", "a/../../b", "local:///etc/passwd", "file:///etc/passwd",
     "local://../x", "C:\\x", "..\\x", "", "."],
)  # fmt: skip
def test_paths_out_of_the_model(root, reference):
    config = json.loads((root / "livecalc.config.json").read_text())
    config["assumptions"]["lapse"] = reference
    (root / "livecalc.config.json").write_text(json.dumps(config))
    found = messages(load_model, root)
    assert "assumptions.lapse" in found[0]


def test_links_out_of_the_model(root, tmp_path):
    (root / "lapse.csv").rename(tmp_path / "lapse.csv")
    assert "'lapse.csv' does not exist" in messages(load_model, root)[0]
    (root / "lapse.csv").symlink_to(tmp_path / "lapse.csv")
    assert "is a link that leads out of the model" in messages(load_model, root)[0]


def write_manifest(root, **changes):
    assets = []
    for path in sorted(root.glob("*.csv")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        assets.append({"relativePath": path.name, "hash": digest, "size": size, "type": "data"})
    assets[0] |= changes
    (root / "manifest.json").write_text(json.dumps({"version": "1", "assets": assets}))


def check(path):
    with opened(path) as root:
        return load_model(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hash": "0" * 64}, "'expenses.csv' has the SHA-256"),
        ({"hash": None}, "'expenses.csv' has no hash"),
        ({"size": 3}, "'expenses.csv' has "),
        ({"relativePath": "gone.csv"}, "'gone.csv' does not exist"),
        ({"relativePath": "../x.csv"}, "'../x.csv' is not a path inside the model"),
        ({"relativePath": 5}, "has no relativePath"),
    ],
)
def test_manifests(root, change, message):
    write_manifest(root)
    check(root)
    write_manifest(root, **change)
    assert f"manifest.json, setting assets[0]: {message}" in messages(check, root)[0]


def test_manifests_that_are_none(root):
    for text in ("{", "[]", '{"assets": 5}'):
        (root / "manifest.json").write_text(text)
        assert messages(check, root)[0].startswith("manifest.json")


def make_zip(path, files, root=None):
    with zipfile.ZipFile(path, "w") as archive:
        for file in root.iterdir() if root else ():
            archive.write(file, f"model/{file.name}")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_of_a_model(root, tmp_path):
    assert len(check(make_zip(tmp_path / "m.zip", {}, root)).policies) == 5


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x", "'../x' leads out of the package"),
        ("/x", "'/x' leads out of the package"),
        ("a/../../x", "leads out of the package"),
        (link("x"), "'x' is not a plain file"),
    ],
)
def test_hostile_zips(tmp_path, name, message):
    path = make_zip(tmp_path / "m.zip", {name: "/etc/passwd"})
    assert message in messages(check, path)[0]


def test_zip_bombs_and_broken_zips(tmp_path):
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 20))

    def open_small():
        with opened(path, max_unpacked=1 << 19):
            pass

    assert messages(open_small) == ["m.zip: unpacks to more than is allowed"]
    path.write_bytes(path.read_bytes()[:100])
    assert "m.zip: is not a usable zip" in messages(check, path)[0]
    assert "is not a directory or a zip" in messages(check, tmp_path / "gone")[0]


def test_a_package_has_what_the_model_names_and_a_manifest(root, tmp_path, capsys):
    expected = run(Request(root, Changes())).document
    (root / "notes.txt").write_text("not part of the model")
    (root / "manifest.json").write_text("out of date")
    target = tmp_path / "out" / "package.zip"
    assert main(["package", str(root), "--output", str(target)]) == 0
    with zipfile.ZipFile(target) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        names = {entry.filename for entry in archive.infolist()}
        named = {asset["relativePath"]: asset for asset in manifest["assets"]}
        assert names == {"manifest.json", *named}
        assert "notes.txt" not in names
        for name, asset in named.items():
            content = archive.read(name)
            assert asset["size"] == len(content)
            assert asset["hash"] == hashlib.sha256(content).hexdigest()
    assert {asset["type"] for asset in manifest["assets"]} == {
        "config", "policies", "assumptions", "scenarios"
    }  # fmt: skip
    assert f"{named['lapse.csv']['hash']}  lapse.csv\n" in capsys.readouterr().out
    assert run(Request(target, Changes())).document == expected
    first = target.read_bytes()
    (root / "lapse.csv").touch()
    assert main(["package", str(root), "--output", str(target)]) == 0
    assert target.read_bytes() == first


def test_a_package_is_named_like_its_model(root, tmp_path, monkeypatch):
    (root / "hooks.py").write_text("def adjust_lapse(policies, year, lives, rates): return 1.0")
    config = json.loads((root / "livecalc.config.json").read_text())
    config["assumptions"]["lapse"] = "local://lapse.csv"
    (root / "livecalc.config.json").write_text(json.dumps(config | {"hooks": "./hooks.py"}))
    monkeypatch.chdir(tmp_path)
    assert main(["package", "model"]) == 0
    with zipfile.ZipFile("model.zip") as archive:
        assert {"lapse.csv", "hooks.py"} <= {*archive.namelist()}
    check(tmp_path / "model.zip")


def test_what_is_not_packaged(root, tmp_path, capsys):
    target = tmp_path / "package.zip"
    (root / "lapse.csv").write_text("year,lapse_rate\n1,2\n")
    assert main(["package", str(root), "--output", str(target)]) == 1
    assert "lapse.csv, row 2" in capsys.readouterr().err
    assert main(["package", str(root / "lapse.csv"), "--output", str(target)]) == 2
    assert main(["package", str(tmp_path / "gone"), "--output", str(target)]) == 1
    assert not target.exists()
