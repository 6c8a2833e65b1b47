"""A model's package: what is in it, its manifest, and what is no model."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from ci_client.command.model_results import results_directory
from ci_client.errors import NotAModel, ProjectNotFound, ProjectTooLarge
from ci_client.packing.model_package import create_model_package
from ci_client.packing.upload_limits import UploadLimits
from ci_common.model_manifest import Asset, package_hash
from ci_server.submission.model_package import read_model_package
from engine.model.package import opened

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/term_life"
MOMENT = 1_700_000_001
"""2023-11-14 22:13:21: a zip knows every other second."""
ODD_NAMES = ["notes: june.txt", "two\nlines"]


@pytest.fixture
def model(tmp_path):
    directory = shutil.copytree(EXAMPLE, tmp_path / "model")
    (directory / "hooks").mkdir()
    (directory / "hooks/rates.py").write_text("")
    age(directory)
    return directory


def age(directory):
    for place, path in enumerate(sorted(p for p in directory.rglob("*") if p.is_file())):
        os.utime(path, (MOMENT - place * 10,) * 2)


def manifest_of(package):
    with zipfile.ZipFile(package) as archive:
        return json.loads(archive.read("manifest.json"))


def names_in(package):
    with zipfile.ZipFile(package) as archive:
        return archive.namelist()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_manifest_lists_every_file(model):
    with create_model_package(model) as package:
        found = manifest_of(package)
    files = sorted(p.relative_to(model).as_posix() for p in model.rglob("*") if p.is_file())
    assert found == package.manifest
    assert sorted(found) == ["assets", "createdAt", "packageHash", "version"]
    assert [asset["relativePath"] for asset in found["assets"]] == files
    for asset in found["assets"]:
        path = model / asset["relativePath"]
        assert (asset["hash"], asset["size"]) == (sha256(path), path.stat().st_size)
    kinds = {asset["relativePath"]: asset["type"] for asset in found["assets"]}
    assert kinds["model.toml"] == "config"
    assert kinds["hooks/rates.py"] == "code"
    assert kinds["policies.csv"] == "data"
    assert found["createdAt"] == "2023-11-14T22:13:20Z"


def test_the_package_hash_is_as_documented(model):
    with create_model_package(model) as package:
        names = [asset["relativePath"] for asset in package.manifest["assets"]]
    done = subprocess.run(["sha256sum", *names], cwd=model, capture_output=True, check=True)
    lines = sorted(done.stdout.splitlines(keepends=True))
    assert package.package_hash == hashlib.sha256(b"".join(lines)).hexdigest()


def test_the_package_hash_does_not_depend_on_order_or_times(model, tmp_path):
    one, two = Asset("b.csv", "0" * 64, 1), Asset("a.csv", "1" * 64, 2)
    assert package_hash([one, two]) == package_hash([two, one])
    copy = shutil.copytree(model, tmp_path / "copy", copy_function=shutil.copyfile)
    with create_model_package(model) as here, create_model_package(copy) as there:
        assert here.package_hash == there.package_hash
        assert here.manifest["createdAt"] != there.manifest["createdAt"]


def test_the_same_directory_is_the_same_file(model, tmp_path):
    with create_model_package(model) as first, create_model_package(model) as second:
        assert first.path.read_bytes() == second.path.read_bytes()
        assert first.size == first.path.stat().st_size
    assert not first.path.exists()


def test_server_and_engine_accept_the_package(model, tmp_path):
    os.symlink("policies.csv", model / "more.csv")
    for name in ODD_NAMES:
        (model / name).write_text("whose name is no path for the engine, or for sha256sum\n")
    with create_model_package(model) as package:
        assert read_model_package(package.path).directory == "."
        assert set(ODD_NAMES) <= set(names_in(package))
        listed = {asset["relativePath"] for asset in package.manifest["assets"]}
        shutil.unpack_archive(package.path, tmp_path / "unpacked", "zip")
    assert listed.isdisjoint({"more.csv", "manifest.json", *ODD_NAMES})
    shutil.copyfile(model / "more.csv", tmp_path / "unpacked/more.csv")
    with opened(tmp_path / "unpacked") as root:
        assert (root / "manifest.json").is_file()


def test_nothing_is_written_into_the_directory(model):
    before = {path: path.stat().st_mtime_ns for path in [model, *model.rglob("*")]}
    with create_model_package(model):
        pass
    assert {path: path.stat().st_mtime_ns for path in [model, *model.rglob("*")]} == before


def test_files_of_git_are_not_listed(model):
    (model / ".git").mkdir()
    (model / ".git/index").write_text("what git writes when it is asked for the status\n")
    with create_model_package(model, include=[".git"]) as package:
        assert ".git/index" in names_in(package)
        assert not any(".git" in asset["relativePath"] for asset in package.manifest["assets"])


# ------------------------------------------------------------------ a manifest that is there


def write_manifest(model):
    with create_model_package(model) as package:
        (model / "manifest.json").write_text(json.dumps(package.manifest))


def test_a_manifest_that_is_right_is_replaced_in_silence(model):
    with create_model_package(model) as package:
        before = package.path.read_bytes()
    write_manifest(model)
    with create_model_package(model) as package:
        assert package.notes == ()
        assert package.path.read_bytes() == before
        assert names_in(package).count("manifest.json") == 1


@pytest.mark.parametrize("scheme", ["", "local://", "./"])
def test_a_manifest_that_is_wrong_is_told_of_and_replaced(model, scheme):
    write_manifest(model)
    manifest = json.loads((model / "manifest.json").read_text())
    for asset in manifest["assets"]:
        asset["relativePath"] = scheme + asset["relativePath"]
        asset["hash"] = f"sha256:{asset['hash'].upper()}"
    (model / "manifest.json").write_text(json.dumps(manifest))
    (model / "policies.csv").write_text("changed")
    (model / "lapse.csv").unlink()
    with create_model_package(model) as package:
        (note,) = package.notes
        assert "('lapse.csv', 'policies.csv')" in note
        changed = next(a for a in package.manifest["assets"] if a["relativePath"] == "policies.csv")
        assert changed["hash"] == sha256(model / "policies.csv")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"assets": 5}', '{"assets": [5]}', '{"assets": [{}]}', "[" * 100_000],
)
def test_a_manifest_that_cannot_be_read(model, content):
    (model / "manifest.json").write_text(content)
    with create_model_package(model) as package:
        (note,) = package.notes
        assert "cannot be read" in note
        assert manifest_of(package)["assets"]


# ------------------------------------------------------------------ what is no model


def test_a_directory_without_a_description(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAModel, match=r"neither model.toml nor livecalc.config.json\.$"):
        create_model_package(tmp_path / "empty")


def test_the_model_is_one_directory_below(model):
    with pytest.raises(NotAModel, match=f"Did you mean {model}\\?"):
        create_model_package(model.parent)


def test_two_descriptions(model):
    (model / "livecalc.config.json").write_text("{}")
    with pytest.raises(NotAModel, match=r"both model.toml and livecalc.config.json"):
        create_model_package(model)
    with create_model_package(model, exclude=["livecalc.config.json"]) as package:
        assert "livecalc.config.json" not in names_in(package)


def test_a_description_that_would_not_be_sent(model):
    with pytest.raises(NotAModel, match=r"--include model.toml"):
        create_model_package(model, exclude=["*.toml"])
    subprocess.run(["git", "init", "-q", model], check=True)
    (model / ".gitignore").write_text("model.toml\n")
    with pytest.raises(NotAModel, match=r"git-ignored"):
        create_model_package(model)
    with create_model_package(model, include=["model.toml"]) as package:
        assert "model.toml" in names_in(package)


@pytest.mark.parametrize("name", ["nowhere", "model/model.toml"])
def test_no_directory(model, name):
    with pytest.raises(ProjectNotFound, match="name the directory of a model"):
        create_model_package(model.parent / name)


def test_more_than_the_server_accepts(model):
    (model / "large.bin").write_bytes(os.urandom(1 << 20))
    with pytest.raises(ProjectTooLarge, match=r"large.bin \(1.0 MiB\)"):
        create_model_package(model, limits=UploadLimits(max_upload_bytes=1 << 20))


def test_the_manifest_counts_as_a_part_of_the_zip(model):
    with create_model_package(model) as package:
        size = package.size
    with create_model_package(model, limits=UploadLimits(max_upload_bytes=size)):
        pass
    with pytest.raises(ProjectTooLarge):
        create_model_package(model, limits=UploadLimits(max_upload_bytes=size - 1))


def test_no_more_than_this_door_accepts(model, monkeypatch):
    monkeypatch.setattr("ci_client.packing.model_package.MODEL_PACKAGE_BYTES", 100)
    with pytest.raises(ProjectTooLarge):
        create_model_package(model, limits=UploadLimits(max_upload_bytes=1 << 30))


# ------------------------------------------------------------------ names of directories


@pytest.mark.parametrize(
    ("model", "directory"),
    [
        ("portfolio", "portfolio-results-0b5d6f3e"),
        (None, "model-results-0b5d6f3e"),
        ("Term life / 1", "Term life - 1-results-0b5d6f3e"),
        ("../../etc", "..-..-etc-results-0b5d6f3e"),
        ("a\x1b[2J\n", "a-[2J--results-0b5d6f3e"),
        ("\ud800", "--results-0b5d6f3e"),
        ("é" * 200, "é" * 90 + "-results-0b5d6f3e"),
    ],
)
def test_results_are_put_into_one_directory_here(model, directory):
    assert results_directory(model, "0b5d6f3e-9d0a-4c39-8f0e-3f1d2c4b5a69") == directory
