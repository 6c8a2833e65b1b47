"""A network that several instances make at once."""

import pytest
from docker.errors import APIError, NotFound

from ci_controller.executors.docker import network
from ci_controller.executors.docker.network import JobNetwork

SAME = "conflicts with network a29bf (ci-64f3): networks have same bridge name"


class Engine:
    """It refuses to make the network, and lists another's after so many looks."""

    def __init__(self, refusal, looks):
        self.refusal, self.looks = refusal, looks

    def inspect_network(self, name):
        raise NotFound("no such network")

    def create_network(self, *_, **__):
        raise APIError("403", explanation=self.refusal)

    def networks(self, names):
        self.looks -= 1
        return [] if self.looks >= 0 else [{"Name": names[0]}]


def test_one_that_another_is_making_is_waited_for():
    assert JobNetwork("jobs").ensure(Engine(SAME, looks=3)) == "jobs"


def test_one_that_never_appears_is_refused(monkeypatch):
    monkeypatch.setattr(network, "_APPEARANCE_SECONDS", 0.05)
    with pytest.raises(APIError):
        JobNetwork("jobs").ensure(Engine(SAME, looks=10**9))


def test_another_refusal_is_not_waited_for():
    with pytest.raises(APIError):
        JobNetwork("jobs").ensure(Engine("no address pool", looks=1))
