"""What the controller tells executors of a job."""

import pytest

from ci_common.job import Network, ResourceLimits
from ci_common.secret import Secret
from ci_controller.running.launch_request import launch_request, probe_request
from support.jobs import a_job

LIMITS = ResourceLimits(memory_mb=64, network=Network.NONE)


def test_it_has_everything_that_was_asked_for_and_nothing_of_rows():
    secret = Secret("TOKEN", b"correct-horse")
    job = a_job(command=("a", "b"), env={"A": "b"}, image="mine", limits=LIMITS, attempt=2)
    request = launch_request(job, 7, [secret], None)
    assert (request.job_id, request.attempt, request.epoch) == (job.job_id, 2, 7)
    assert (request.command, request.env, request.image) == (("a", "b"), {"A": "b"}, "mine")
    assert (request.limits, request.artifacts) == (LIMITS, job.spec.artifacts)
    assert (request.secrets, request.package) == ((secret,), None)
    assert not {"tenant", "user", "status", "created_at"} & set(request.__dataclass_fields__)


@pytest.mark.parametrize("wanted", [True, False])
def test_terminal_and_colours(wanted):
    request = launch_request(a_job(tty=wanted, color=not wanted), 1, (), None)
    assert (request.tty, request.color) == (wanted, not wanted)
    assert request.env == {}, "an installation has no colours, or it would be another one"


def test_requirements_are_shared_within_a_tenant_only():
    first, second, other = (
        launch_request(a_job(tenant=tenant, user=user), 1, (), None).cache_scope
        for tenant, user in [("acme", "ann"), ("acme", "bob"), ("other", "ann")]
    )
    assert first == second != other


@pytest.mark.parametrize(
    ("tenant", "user", "isolated"),
    [("local", "local", False), ("local", "ann", True), ("acme", "local", True)],
)
def test_only_the_jobs_of_a_server_without_identities_may_reach_each_other(tenant, user, isolated):
    job = a_job(tenant=tenant, user=user, limits=LIMITS)
    assert launch_request(job, 1, (), None).isolated is isolated
    probe = probe_request(job, 3)
    assert (probe.epoch, probe.network, probe.isolated) == (3, Network.NONE, isolated)
