"""What an executor is told of a job: everything it needs to run it, and nothing of rows or users.

A request has no path of the server's and no object of its process, so that it can be sent to
another machine; there the package is fetched with `PackageSource.open`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ci_common.job import Network, ResourceLimits
from ci_common.ports.packages import PackageSource
from ci_common.secret import Secret


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One start of one job."""

    job_id: str
    attempt: int
    """Which start of the job this is; 1 is the first."""
    epoch: int
    """Of the controller lease that it is launched under."""
    command: tuple[str, ...]
    """The argument vector, run in the workspace."""
    env: Mapping[str, str] = field(default_factory=dict)
    """What the job itself sets; the executor adds the variables that every job has."""
    image: str | None = None
    """Container image; `None` is the executor's default."""
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    artifacts: tuple[str, ...] = ()
    """Globs, relative to the workspace, of the files that are asked for after the end."""
    secrets: tuple[Secret, ...] = ()
    """With their values."""
    cache_scope: str = ""
    """Only jobs of the same scope may share installed requirements. It has no other meaning."""
    isolated: bool = True
    """Whether other jobs must not reach this one; otherwise all jobs are one user's."""
    package: PackageSource | None = None
    """The project. `None`: the job runs in an empty workspace."""
    install: tuple[str, ...] | None = None
    """Lines of a requirements file, to be installed before; `None` is what the project has."""
    tty: bool = False
    """Whether the command is on a pseudo-terminal, whose input has ended: nobody types."""
    color: bool = False
    """Whether programs are told to write colours, terminal or not."""
    submitted_at: datetime | None = None
    """The time of files and directories that have none of their own; `None` is now."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Where a launch has failed, so that a workload can be tried in the same place."""

    epoch: int
    """Of the controller lease."""
    network: Network = Network.BRIDGE
    isolated: bool = True
    """As in the request for the launch."""
