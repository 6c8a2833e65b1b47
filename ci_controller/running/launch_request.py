"""What the controller tells executors of a job: they see no rows, tenants or users."""

from collections.abc import Sequence

from ci_common.job import Job
from ci_common.ports.launch_request import LaunchRequest, ProbeRequest
from ci_common.ports.packages import PackageSource
from ci_common.principal import LOCAL_PRINCIPAL
from ci_common.secret import Secret
from ci_controller.running.git_environment import git_environment


def launch_request(
    job: Job, epoch: int, secrets: Sequence[Secret], package: PackageSource | None
) -> LaunchRequest:
    """The request to launch a job under the controller lease's `epoch`."""
    spec = job.spec
    return LaunchRequest(
        job_id=job.job_id,
        attempt=job.attempt,
        epoch=epoch,
        command=spec.command,
        env={**(git_environment(spec.git) if spec.git else {}), **spec.env},
        image=spec.image,
        limits=spec.limits,
        artifacts=spec.artifacts,
        secrets=tuple(secrets),
        cache_scope=job.tenant,
        isolated=_is_isolated(job),
        package=package,
        install=spec.install,
        tty=spec.tty,
        color=spec.color,
        submitted_at=job.created_at,
    )


def probe_request(job: Job, epoch: int) -> ProbeRequest:
    """The request to try a workload where this job's launch has failed."""
    return ProbeRequest(epoch, job.spec.limits.network, _is_isolated(job))


def _is_isolated(job: Job) -> bool:
    """The jobs of a server without identities are all of one user, and may reach each other."""
    return (job.tenant, job.user) != (LOCAL_PRINCIPAL.tenant, LOCAL_PRINCIPAL.user)
