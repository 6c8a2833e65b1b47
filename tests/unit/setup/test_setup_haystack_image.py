"""The image of the worked example: what it is built from, and when it is built again."""

import types

import pytest

from setup_steps import haystack_image, image_build, locks, runner_image


def test_the_context_has_the_example_and_nothing_that_is_made_from_it():
    names = set(haystack_image.recipe().files)
    assert {"Dockerfile", "haystack/__main__.py", "haystack/atlas_generator.py"} <= names
    assert not any(name.endswith((".pyc", ".csv", ".h5ad")) for name in names)


def test_the_context_has_all_the_dockerfile_copies():
    files = haystack_image.recipe().files
    lines = files["Dockerfile"].decode().splitlines()
    copied = [line.split()[1] for line in lines if line.startswith("COPY")]
    assert copied
    assert all(any(name.startswith(f"{c}/") for name in files) for c in copied)


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """An engine of which only the image below and the digests of built images are known."""
    engine = types.SimpleNamespace(below="sha256:1", labels={}, built=[])
    image = types.SimpleNamespace(get=lambda name: types.SimpleNamespace(id=engine.below))
    engine.images = image

    def build(client, name, recipe, base, refresh):
        engine.labels[name] = recipe.digest()
        engine.built.append((name, base))

    monkeypatch.setattr(locks, "held", lambda name: (tmp_path / name).open("w"))
    monkeypatch.setattr(runner_image, "ensure", lambda *args, **options: False)
    monkeypatch.setattr(
        image_build, "is_current", lambda client, name, digest: engine.labels.get(name) == digest
    )
    monkeypatch.setattr(image_build, "build", build)
    return engine


def test_it_is_built_on_the_slim_runner_image_once(engine):
    assert haystack_image.ensure(engine)
    assert not haystack_image.ensure(engine)
    assert engine.built == [("ci-runner-haystack:latest", "ci-runner:slim")]


def test_it_is_built_again_when_the_runner_image_was_or_on_request(engine):
    haystack_image.ensure(engine)
    engine.below = "sha256:2"
    assert haystack_image.ensure(engine)
    assert haystack_image.ensure(engine, refresh=True)
    assert len(engine.built) == 3
