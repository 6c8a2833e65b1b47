import io
import tarfile

import certifi
import pytest

from setup_steps import runner_image
from setup_steps.console import SetupError

FILES = {"Dockerfile": b"FROM x", "engine/__init__.py": b""}


def test_order_does_not_matter_to_the_digest():
    turned = dict(reversed(FILES.items()))
    assert runner_image.inputs_digest(turned) == runner_image.inputs_digest(FILES)


@pytest.mark.parametrize(
    "other",
    [
        {**FILES, "Dockerfile": b"FROM y"},
        {**FILES, "new": b""},
        {"Dockerfile": b"FROM x"},
        {"Dockerfil": b"eFROM x", "engine/__init__.py": b""},
    ],
)
def test_names_and_contents_matter_to_the_digest(other):
    assert runner_image.inputs_digest(other) != runner_image.inputs_digest(FILES)


def test_the_archive_holds_the_files_and_nothing_of_this_machine():
    first = runner_image.context_archive(FILES).read()
    assert first == runner_image.context_archive(FILES).read()
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert {m.name: tar.extractfile(m).read() for m in tar} == FILES
        assert {(m.uid, m.uname, m.mtime) for m in tar} == {(0, "", 315_619_200)}  # 1980, for zip


def test_the_context_has_all_the_dockerfile_copies():
    names = runner_image.context_files()
    copied = [
        line.split()[1]
        for line in names["Dockerfile"].decode().splitlines()
        if line.startswith("COPY")
    ]
    assert copied
    assert all(any(n == c or n.startswith(f"{c}/") for n in names) for c in copied)


def test_the_context_has_the_engines_data_and_nothing_compiled():
    names = runner_image.context_files()
    assert "engine/__main__.py" in names
    assert any(n.startswith("engine/golden/") and n.endswith(".csv") for n in names)
    assert not any("__pycache__" in n for n in names)


def test_the_certificates_are_the_users_choice_then_the_systems_then_certifis(
    monkeypatch, tmp_path
):
    own, system = tmp_path / "own.pem", tmp_path / "system.pem"
    own.touch()
    system.touch()
    monkeypatch.setattr(runner_image, "SYSTEM_CA_BUNDLES", (str(system),))
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    assert runner_image.ca_bundle() == own
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone"))
    assert runner_image.ca_bundle() == system
    system.unlink()
    assert str(runner_image.ca_bundle()) == certifi.where()


def test_a_failed_build_shows_the_end_of_its_output():
    output = [{"stream": "Step 1\n"}, {"stream": "no space left\n"}, {"error": "RUN failed"}]
    with pytest.raises(SetupError, match=r"(?s)RUN failed.*no space left"):
        runner_image._raise_on_error(iter(output))


def test_an_index_of_ones_own_is_used_in_the_build(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    arguments = runner_image._network_arguments()
    assert arguments["PIP_INDEX_URL"] == "https://packages.example/simple"
    assert arguments["https_proxy"] == "http://proxy.example:3128"
