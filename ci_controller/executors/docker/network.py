"""The jobs' bridge network: jobs have internet access, but cannot reach each other."""

import hashlib
import time

import docker
from docker.errors import APIError, NotFound

from ci_controller.executors.docker.error_kinds import explanation

JOB_NETWORK = "ci-runner"
"""The bridge that jobs are on unless the operator names another."""

ENGINES_OWN = "bridge"
"""The engine's default network, on which all containers reach each other."""

_SAME_INTERFACE = "networks have same bridge name"
_APPEARANCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.02


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
        except APIError as error:
            if not _is_made_by_another(client, self.name, error):
                raise


def _is_made_by_another(client: docker.APIClient, name: str, error: APIError) -> bool:
    """Whether another instance was quicker. The engine knows of an interface some time before it
    lists the network that has it, so then it is waited for.
    """
    seconds = _APPEARANCE_SECONDS if _SAME_INTERFACE in explanation(error) else 0.0
    deadline = time.monotonic() + seconds
    while not client.networks(names=[name]):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def _interface(network: str) -> str:
    """At most 15 characters; the first three are those of all our networks, for firewalls."""
    if network == JOB_NETWORK:
        return "ci-runner0"
    return f"ci-{hashlib.sha256(network.encode()).hexdigest()[:12]}"
