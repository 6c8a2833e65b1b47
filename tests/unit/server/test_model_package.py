"""What a model's package has to be before a job is made of it."""

import time

import pytest

from ci_common.errors import InvalidPackageError
from ci_server.submission import model_package
from ci_server.submission.model_package import ModelPackage, read_model_package
from ci_server.submission.package_check import PackageLimits, check_package
from support.models import GOLDEN_FILES, manifest, zipped

TOML, LIVECALC = "model.toml", "livecalc.config.json"
LIMITS = PackageLimits(max_entries=1000, max_unpacked_bytes=1 << 30, max_ratio=200)


def read(tmp_path, files, below=""):
    path = tmp_path / "model.zip"
    path.write_bytes(zipped(files, below))
    check_package(path, LIMITS)
    return read_model_package(path)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({TOML: b""}, ModelPackage(".", TOML)),
        ({LIVECALC: b"", "a.csv": b"", "b/c.csv": b""}, ModelPackage(".", LIVECALC)),
        ({"m/model.toml": b"", "m/a/b.csv": b""}, ModelPackage("m", TOML)),
        ({"m/": b"", "m/model.toml": b"", "__MACOSX/m/._model.toml": b""}, ModelPackage("m", TOML)),
        ({TOML: b"", "examples/livecalc.config.json": b""}, ModelPackage(".", TOML)),
        ({"-rf/model.toml": b""}, ModelPackage("-rf", TOML)),
        ({"./model.toml": b"", "./a.csv": b""}, ModelPackage(".", TOML)),
    ],
)
def test_where_the_model_is(tmp_path, files, found):
    assert read(tmp_path, files) == found


@pytest.mark.parametrize(
    "files",
    [
        {"a.csv": b""},
        {"m/model.toml": b"", "a.csv": b""},
        {"a.csv": b"", "m/model.toml": b""},
        {"m/n/model.toml": b""},
        {"m/model.toml": b"", "n/a.csv": b""},
        {"model.toml/a": b""},
        {"MODEL.TOML": b""},
    ],
)
def test_a_package_without_a_model(tmp_path, files):
    with pytest.raises(InvalidPackageError, match=r"has no model\.toml or livecalc\.config\.json"):
        read(tmp_path, files)


@pytest.mark.parametrize("below", ["", "m/"])
def test_a_package_with_two_descriptions(tmp_path, below):
    with pytest.raises(InvalidPackageError, match=r"both model\.toml and livecalc\.config\.json"):
        read(tmp_path, {TOML: b"", LIVECALC: b""}, below)


@pytest.mark.parametrize("below", ["", "m/"])
@pytest.mark.parametrize("scheme", ["", "local://", "./"])
@pytest.mark.parametrize("hashed", ["{}", "sha256:{}", "sha256-{}"])
def test_a_manifest_that_is_right(tmp_path, below, scheme, hashed):
    entry = manifest(GOLDEN_FILES).decode()
    entry = entry.replace('"relativePath": "', f'"relativePath": "{scheme}')
    entry = entry.replace('"hash": "', f'"hash": "{hashed.partition("{")[0]}')
    read(tmp_path, {**GOLDEN_FILES, "manifest.json": entry.encode()}, below)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hash": "0" * 64}, "'lapse.csv' does not match its hash"),
        ({"size": 1}, r"'lapse.csv' has \d+ bytes, not the '1' of the manifest"),
        ({"size": "many"}, "not the 'many' of the manifest"),
        ({"relativePath": "no.csv"}, "'no.csv' is not in the package"),
        ({"relativePath": "../no.csv"}, "'../no.csv' is not in the package"),
        ({"relativePath": "/etc/passwd"}, "'/etc/passwd' is not in the package"),
        ({"relativePath": ""}, r"assets\[\d\] has no relativePath"),
        ({"relativePath": 3}, r"assets\[\d\] has no relativePath"),
        ({"hash": None}, "'lapse.csv' has no SHA-256 as its hash"),
        ({"hash": "md5:00"}, "'lapse.csv' has no SHA-256 as its hash"),
    ],
)
def test_a_manifest_that_is_wrong(tmp_path, changes, told):
    files = {**GOLDEN_FILES, "manifest.json": manifest(GOLDEN_FILES, **{"lapse.csv": changes})}
    with pytest.raises(InvalidPackageError, match=told):
        read(tmp_path, files)


def test_everything_that_is_missing_is_told_at_once(tmp_path):
    files = {f"{name}.csv": b"x" for name in "abc"}
    wrong = {"b.csv": {"hash": "0" * 64}}
    content = {TOML: b"", "b.csv": b"x", "manifest.json": manifest(files, **wrong)}
    with pytest.raises(InvalidPackageError) as refused:
        read(tmp_path, content)
    for told in ("'a.csv' is not in", "'b.csv' does not match", "'c.csv' is not in"):
        assert told in refused.value.message


def test_what_is_told_is_bounded(tmp_path):
    content = {TOML: b"", "manifest.json": manifest({f"{n}.csv": b"" for n in range(5000)})}
    with pytest.raises(InvalidPackageError, match=r"and more$") as refused:
        read(tmp_path, content)
    assert len(refused.value.message) < 2000


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b'{"assets": [], "assets": []}', "cannot be read"),
        (b"{}", "has no list of assets"),
        (b'{"assets": {}}', "has no list of assets"),
        (b'{"assets": [1]}', r"assets\[0\] has no relativePath"),
    ],
)
def test_a_manifest_that_is_none(tmp_path, content, told):
    with pytest.raises(InvalidPackageError, match=f"manifest.json: {told}"):
        read(tmp_path, {TOML: b"", "manifest.json": content})


def test_a_byte_order_mark_is_no_problem(tmp_path):
    marked = b"\xef\xbb\xbf" + manifest(GOLDEN_FILES)
    read(tmp_path, {**GOLDEN_FILES, "manifest.json": marked})


def test_a_file_that_is_named_often_is_read_once(tmp_path, monkeypatch):
    """A small upload must not make a lot of work."""
    read_so_far = []

    class Counting(model_package.ZipReader):
        def content(self, entry):
            read_so_far.append(entry.path)
            return super().content(entry)

    monkeypatch.setattr(model_package, "ZipReader", Counting)
    entries = manifest({"a.csv": b"x" * 1000}).replace(b"[{", b"[{", 1)
    asset = entries[entries.index(b"[") + 1 : entries.rindex(b"]")]
    many = b'{"assets": [' + b",".join([asset] * 500) + b"]}"
    read(tmp_path, {TOML: b"", "a.csv": b"x" * 1000, "manifest.json": many})
    assert read_so_far.count("a.csv") == 1


def test_as_many_assets_as_a_large_model_has(tmp_path):
    """Each is missing, which is found once the manifest was read."""
    listed = manifest({f"assumptions/table-{n:05}.csv": b"" for n in range(20_000)})
    with pytest.raises(InvalidPackageError, match=r"'assumptions/table-00000\.csv' is not in"):
        read(tmp_path, {TOML: b"", "manifest.json": listed})


@pytest.mark.parametrize("value", [b"0", b"{}", b"[[]]", b'{"relativePath":"a"}'])
def test_a_manifest_of_very_many_values_is_refused_at_little_cost(tmp_path, value):
    """Others wait for it."""
    many = b'{"assets":[' + b",".join([value] * ((3 << 20) // (len(value) + 1))) + b"]}"
    path = tmp_path / "model.zip"
    path.write_bytes(zipped({TOML: b"", "manifest.json": many}))
    started = time.process_time()
    with pytest.raises(InvalidPackageError, match=r"manifest\.json: .* more than 200000 values"):
        read_model_package(path)
    assert time.process_time() - started < 1


def test_a_manifest_that_is_too_large(tmp_path):
    large = b'{"assets": []' + b" " * (4 << 20) + b"}"
    path = tmp_path / "model.zip"
    path.write_bytes(zipped({TOML: b"", "manifest.json": large}))
    with pytest.raises(InvalidPackageError, match=r"manifest\.json is larger than 4 MiB"):
        read_model_package(path)
