import io
import tarfile

import certifi
import pytest

from setup_steps import image_build, runner_image, worker_image
from setup_steps.console import SetupError

FILES = {"Dockerfile": b"FROM x", "engine/__init__.py": b""}


def test_order_does_not_matter_to_the_digest():
    turned = dict(reversed(FILES.items()))
    assert image_build.inputs_digest(turned) == image_build.inputs_digest(FILES)


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
    assert image_build.inputs_digest(other) != image_build.inputs_digest(FILES)


def test_the_archive_holds_the_files_and_nothing_of_this_machine():
    first = image_build.context_archive(FILES).read()
    assert first == image_build.context_archive(FILES).read()
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert {m.name: tar.extractfile(m).read() for m in tar} == FILES
        assert {(m.uid, m.uname, m.mtime) for m in tar} == {(0, "", 315_619_200)}  # 1980, for zip


RECIPES = {
    "runner": runner_image.recipe(),
    "slim runner": runner_image.recipe(slim=True),
    "worker": worker_image.recipe(),
}
recipes = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


@recipes
def test_the_context_has_all_the_dockerfile_copies(recipe):
    text = recipe.files[recipe.dockerfile].decode()
    copies = [line.split()[1] for line in text.splitlines() if line.startswith("COPY")]
    copied = [source for source in copies if source != "--from=build"]
    assert copied
    assert all(any(n == c or n.startswith(f"{c}/") for n in recipe.files) for c in copied)


@recipes
def test_the_context_has_the_engines_data_and_nothing_compiled(recipe):
    assert "engine/__main__.py" in recipe.files
    assert any(n.startswith("engine/golden/") and n.endswith(".csv") for n in recipe.files)
    assert not any("__pycache__" in n for n in recipe.files)


def test_every_image_has_a_digest_of_its_own():
    assert len({recipe.digest() for recipe in RECIPES.values()}) == len(RECIPES)


def test_the_certificates_are_the_users_choice_then_the_systems_then_certifis(
    monkeypatch, tmp_path
):
    own, system = tmp_path / "own.pem", tmp_path / "system.pem"
    own.touch()
    system.touch()
    monkeypatch.setattr(image_build, "SYSTEM_CA_BUNDLES", (str(system),))
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    assert image_build.ca_bundle() == own
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone"))
    assert image_build.ca_bundle() == system
    system.unlink()
    assert str(image_build.ca_bundle()) == certifi.where()


def test_a_failed_build_shows_the_end_of_its_output():
    output = [{"stream": "Step 1\n"}, {"stream": "no space left\n"}, {"error": "RUN failed"}]
    with pytest.raises(SetupError, match=r"(?s)RUN failed.*no space left"):
        image_build._raise_on_error(iter(output))


def test_an_index_of_ones_own_is_used_in_the_build(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    arguments = image_build._network_arguments()
    assert arguments["PIP_INDEX_URL"] == "https://packages.example/simple"
    assert arguments["https_proxy"] == "http://proxy.example:3128"
