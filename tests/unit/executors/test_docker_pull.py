"""Pulling an image: what is asked for, and an error that comes after it has begun well."""

import pytest
from docker.errors import APIError

from ci_client.command.exit_codes import has_wrong_image
from ci_controller.executors.docker.error_kinds import (
    is_engine_fault,
    is_registry_away,
    is_registry_fault,
)
from ci_controller.executors.docker.requirement_images import _advice, _pull, how_to_get


class RecordedEngine:
    """Tells of a pull what an engine told."""

    def __init__(self, *told):
        self._told = told
        self.asked = []

    def reload_config(self):
        """Reads the logins."""

    def pull(self, repository, tag=None, **options):
        self.asked.append((repository, tag))
        return iter(self._told)


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        ("tool", ("tool", "latest")),
        ("tool:7", ("tool", "7")),
        ("registry.example:5000/tool", ("registry.example:5000/tool", "latest")),
        ("registry.example:5000/tool:7", ("registry.example:5000/tool", "7")),
        ("tool@sha256:12", ("tool@sha256:12", None)),
        ("tool:7@sha256:12", ("tool:7@sha256:12", None)),
    ],
)
def test_one_image_is_asked_for_and_not_all_of_a_repository(image, asked):
    engine = RecordedEngine({"status": "Pulling from tool"}, {"status": "Pull complete"})
    _pull(engine, image)
    assert engine.asked == [asked]


@pytest.mark.parametrize(
    ("text", "judge"),
    [
        ("no matching manifest for linux/amd64 in the manifest list entries", is_registry_fault),
        ("read tcp 10.0.0.2:1->10.0.0.1:443: read: connection reset by peer", is_registry_away),
        ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", is_engine_fault),
    ],
)
def test_an_error_in_the_middle_is_judged_like_one_at_the_start(text, judge):
    engine = RecordedEngine(
        {"status": "Pulling from tool"}, {"error": text, "errorDetail": {"message": text}}
    )
    with pytest.raises(APIError) as raised:
        _pull(engine, "tool:7")
    assert judge(raised.value)


@pytest.mark.parametrize(
    ("image", "remedy"),
    [
        ("ci-runner:latest", "run scripts/runner-image"),
        ("ci-runner:slim", "run scripts/runner-image --slim"),
        ("ci-runner-haystack", "run scripts/runner-image --haystack"),
        ("ci-runner-haystack:latest", "run scripts/runner-image --haystack"),
        ("ci-runner-haystack:2", "build or load it"),
        ("registry.example/ci-runner:latest", "build or load it"),
    ],
)
def test_a_missing_image_of_this_project_is_built_with_its_command(image, remedy):
    assert how_to_get(image) == remedy


@pytest.mark.parametrize(
    ("answer", "is_wrong"),
    [
        ("dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host", False),
        ("manifest for tool:7 not found: manifest unknown", True),
    ],
)
def test_only_what_a_registry_said_is_the_fault_of_the_images_name(answer, is_wrong):
    advice = _advice("tool:7", True, APIError("", explanation=answer))
    assert has_wrong_image({"reason": "image_unavailable", "message": advice}) is is_wrong
