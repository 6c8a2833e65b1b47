"""The network that jobs are on: they reach the world on it, but not each other."""

import hashlib

import docker
from docker.errors import APIError, NotFound

JOB_NETWORK = "ci-runner"
"""The bridge that jobs are on unless the operator names another."""

ENGINES_OWN = "bridge"
"""The engine's default network, on which all containers reach each other."""


class JobNetwork:
    """A bridge, made when it is missing. It belongs to the engine, like an image: instances share
    it, and nobody removes it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_there = name == ENGINES_OWN

    def ensure(self, client: docker.APIClient) -> str:
        """Its name, when it is there. Raises APIError."""
        if not self._is_there:
            try:
                client.inspect_network(self.name)
            except NotFound:
                self._make(client)
            self._is_there = True
        return self.name

    def invalidate(self) -> None:
        """Look again the next time: somebody may have removed it."""
        self._is_there = self.name == ENGINES_OWN

    def _make(self, client: docker.APIClient) -> None:
        options = {
            "com.docker.network.bridge.enable_icc": "false",
            # The engine does not keep names apart when several make one at once, but interfaces.
            "com.docker.network.bridge.name": _interface(self.name),
        }
        try:
            client.create_network(self.name, driver="bridge", options=options, check_duplicate=True)
        except APIError:
            if not client.networks(names=[self.name]):
                raise
            # Another instance was quicker.


def _interface(network: str) -> str:
    """At most 15 characters; the first three are those of all our networks, for firewalls."""
    if network == JOB_NETWORK:
        return "ci-runner0"
    return f"ci-{hashlib.sha256(network.encode()).hexdigest()[:12]}"
