"""The engine of the runner image gives the bytes that this process gives."""

import json

import pytest

from engine.command.commands import main
from engine.parity.golden_set import fingerprints
from setup_steps import runner_image

pytestmark = pytest.mark.docker


def parity(capsys, *options):
    status = main(["parity", "--json", "--image", runner_image.DEFAULT_NAME, *options])
    return status, json.loads(capsys.readouterr().out)[-1]


@pytest.fixture(autouse=True)
def only_the_container(monkeypatch):
    monkeypatch.setattr("engine.parity.places.PROCESSORS", {})


def test_the_golden_set_in_a_container(capsys):
    status, found = parity(capsys)
    assert found["error"] is None
    assert (status, found["differing"], found["same"]) == (0, [], True)


def test_another_result_is_told(capsys, monkeypatch):
    """So that the test above could fail."""

    def wrong(golden, **options):
        cases = fingerprints(golden, **options)
        return cases | {next(iter(cases)): "0" * 64}

    monkeypatch.setattr("engine.parity.places.fingerprints", wrong)
    status, found = parity(capsys)
    assert (status, found["same"]) == (3, False)
    assert found["differing"] == ["term_life_100x10, as it is"]
