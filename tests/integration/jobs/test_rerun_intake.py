"""Jobs that are run again, over real stores and without HTTP: who may, and what the new one is."""

from dataclasses import replace

import pytest

from ci_common.errors import (
    DiskFullError,
    ForbiddenError,
    InvalidConfigError,
    JobNotFoundError,
    NotRerunnableError,
    PackageGoneError,
    QuotaExceededError,
    SecretsNeededError,
    TooManyJobsError,
    UnknownSecretError,
)
from ci_common.git_facts import GitFacts
from ci_common.job import Door, JobStatus, Visibility
from ci_common.policy import Policy
from ci_common.ports.rows import Ending
from ci_common.ports.usage import Quotas
from ci_common.principal import Role
from ci_common.secret import Secret
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.sqlite.tenant_secrets import SqliteTenantSecrets
from ci_server.access.audit_trail import AuditTrail
from ci_server.services.jobs import JobService
from ci_server.services.reruns import RerunService
from ci_server.submission.job_limits import LimitCeilings
from ci_server.submission.request import SubmissionRequest
from support import projects
from support.intake_place import ANN, TRUE, VIC, Place, pieces
from support.jobs import NOON
from support.rows import FAILED, PASSED

pytestmark = pytest.mark.anyio

BOB = replace(ANN, user="bob")
ADA = replace(ANN, user="ada", role=Role.ADMIN)
EVE = replace(ANN, tenant="globex", user="eve")
OLGA = replace(ADA, tenant="local", user="olga")
TOKEN = Secret("TOKEN", b"a secret value", in_environment=True)
ASKED = SubmissionRequest(
    "lint",
    ("make", "lint"),
    4,
    2,
    30.0,
    ("-e .",),
    GitFacts("a" * 40, "main"),
    tty=True,
    color=True,
    title="nightly",
    labels={"team": "a"},
    private=True,
    image="python:3.12",
    env={"LEVEL": "2"},
    artifacts=("out/*",),
    cpu_percent=50,
    memory_mb=64,
)


class Reruns(Place):
    async def open(self, path):
        await super().open(path)
        self.reruns = self.service(self.intake)
        return self

    def service(self, intake):
        trail = AuditTrail(self.audit, lambda: NOON)
        jobs = JobService(
            self.rows.submissions, self.bell, Policy(), lambda: NOON, trail, tokens=None
        )
        return RerunService(jobs, intake)

    async def submitted(self, asked=TRUE, principal=ANN, secrets=(), body=True):
        content = pieces(projects.ANY) if body else None
        return await self.intake.accept(principal, content, asked, secrets)

    async def ended(self, *args, outcome=PASSED, keep=True, **options):
        """A job that got to its end in the ordinary way."""
        job = await self.submitted(*args, **options)
        assert await self.rows.transitions.finish(
            job.job_id, Ending(FAILED, 0), NOON, keep_package=keep
        )
        self.secrets.forget(job.job_id)
        return await self.job(job.job_id)

    def content(self, job_id):
        with self.packages.open(job_id) as file:
            return file.read()


@pytest.fixture
async def place(tmp_path):
    place = await Reruns().open(tmp_path)
    yield place
    await place.rows.database.close()


async def test_the_new_job_is_like_the_old_one(place):
    old = await place.ended(ASKED)
    new = await place.reruns.rerun(ANN, old.job_id[:8])
    assert await place.job(new.job_id) == new
    assert new == replace(
        old,
        job_id=new.job_id,
        status=JobStatus.QUEUED,
        ended_at=None,
        outcome=None,
        log_size=None,
        package_kept=False,
        rerun_of=old.job_id,
    )
    assert new.visibility is Visibility.PRIVATE
    assert place.content(new.job_id) == projects.ANY
    assert place.bell.rings == 2
    assert (await place.recorded())[-1] == ("rerun", "allowed", "ann", new.job_id)


async def test_the_package_is_shared_on_disk_and_outlives_the_old_job(place):
    old = await place.ended()
    new = await place.reruns.rerun(ANN, old.job_id)
    files = [place.path / "packages" / f"{job.job_id}.zip" for job in (old, new)]
    assert len({path.stat().st_ino for path in files}) == 1
    place.packages.delete(old.job_id)
    assert place.content(new.job_id) == projects.ANY
    third = await place.reruns.rerun(ANN, new.job_id)  # which has not ended
    assert third.rerun_of == new.job_id


async def test_a_job_without_a_package(place):
    old = await place.ended(body=False)
    new = await place.reruns.rerun(ANN, old.job_id)
    assert (new.package, new.spec, place.left()) == (None, old.spec, [])


@pytest.mark.parametrize("door", [Door.MODELS, Door.GRPC])
async def test_it_stays_a_job_of_the_door_it_came_through(place, door):
    old = await place.ended(replace(TRUE, door=door))
    assert (await place.reruns.rerun(ANN, old.job_id)).door is door


async def test_a_job_of_a_run_is_not_run_again_alone(place):
    old = await place.ended(replace(TRUE, door=Door.RUNS))
    with pytest.raises(NotRerunnableError, match=r"POST /api/v1/runs"):
        await place.reruns.rerun(ANN, old.job_id)


# ------------------------------------------------------------------ who may


@pytest.mark.parametrize("private", [False, True])
async def test_who_may_run_it_again(place, private):
    old = await place.ended(replace(TRUE, private=private))
    hidden = JobNotFoundError if private else ForbiddenError
    for principal, error in (
        (BOB, hidden),
        (replace(VIC, role=Role.SUBMITTER), hidden),
        (VIC, hidden),
        (EVE, JobNotFoundError),
        (OLGA, ForbiddenError),  # an admin of the operator, who sees it
        (replace(ANN, only_job=old.job_id), ForbiddenError),
    ):
        with pytest.raises(error):
            await place.reruns.rerun(principal, old.job_id)
    assert await place.rows.transitions.active() == []
    new = await place.reruns.rerun(ADA, old.job_id)
    assert (new.user, new.tenant, new.visibility) == ("ada", "acme", old.visibility)


# ------------------------------------------------------------------ what may not be there


@pytest.mark.parametrize("loss", ["not kept", "dropped", "deleted behind our back"])
async def test_a_package_that_is_gone(place, loss):
    old = await place.ended(keep=loss != "not kept")
    if loss == "dropped":
        await place.rows.database.write("UPDATE jobs SET package_kept = 0")
    if loss == "deleted behind our back":
        place.packages.delete(old.job_id)
    with pytest.raises(PackageGoneError, match=r"not kept any more.*ci submit"):
        await place.reruns.rerun(ANN, old.job_id)
    assert await place.rows.transitions.active() == []


async def test_secrets_are_given_again(place):
    old = await place.ended(secrets=[TOKEN, Secret("KEY", b"another one", in_environment=False)])
    with pytest.raises(SecretsNeededError, match=r"TOKEN, KEY$"):
        await place.reruns.rerun(ANN, old.job_id)
    with pytest.raises(SecretsNeededError, match=r": KEY$"):
        await place.reruns.rerun(ANN, old.job_id, [TOKEN])
    assert place.left() == [f"{old.job_id}.zip"]
    given = [Secret("KEY", b"another value"), TOKEN, Secret("MORE", b"a third value")]
    new = await place.reruns.rerun(ANN, old.job_id, given)
    assert place.secrets.of(new) == given
    assert (new.spec.secrets, new.spec.tenant_secrets) == (("KEY", "TOKEN", "MORE"), ())


async def test_secrets_of_the_tenant_are_read_anew(place):
    kept = SqliteTenantSecrets(place.rows.database, place.keys)
    await kept.put("acme", Secret("TOKEN", b"the first value"), NOON)
    project = projects.table("[tool.ci.jobs.test]\ncommand = ['true']\nsecrets = ['TOKEN']")
    old = await place.intake.accept(ANN, pieces(project), SubmissionRequest())
    assert (old.spec.secrets, old.spec.tenant_secrets) == (("TOKEN",), ("TOKEN",))
    await kept.put("acme", Secret("TOKEN", b"a later value"), NOON)
    new = await place.reruns.rerun(ANN, old.job_id)
    assert place.secrets.of(new) == [Secret("TOKEN", b"a later value")]
    await kept.delete("acme", "TOKEN")
    with pytest.raises(UnknownSecretError, match="TOKEN"):
        await place.reruns.rerun(ANN, old.job_id)
    # One that was sent is not replaced by one of the same name that the tenant keeps.
    sent = await place.ended(secrets=[TOKEN])
    await kept.put("acme", Secret("TOKEN", b"not the same"), NOON)
    with pytest.raises(SecretsNeededError):
        await place.reruns.rerun(ANN, sent.job_id)


# ------------------------------------------------------------------ today's limits


async def test_ceilings_of_today(place):
    old = await place.ended(SubmissionRequest(command=("true",), priority=5, cpu_percent=80))
    intake = place.made()
    intake.limits = replace(intake.limits, ceilings=LimitCeilings(priority=2))
    assert (await place.service(intake).rerun(ANN, old.job_id)).spec.priority == 2
    assert (await place.service(intake).rerun(ADA, old.job_id)).spec.priority == 5
    # What is not limited, or by what is a default and a ceiling in one.
    lower = replace(intake.limits.defaults, log_mb=3)
    intake.limits = replace(
        intake.limits, ceilings=LimitCeilings(memory_mb=100, cpu_percent=90), defaults=lower
    )
    limits = (await place.service(intake).rerun(ANN, old.job_id)).spec.limits
    assert (limits.memory_mb, limits.cpu_percent, limits.log_mb) == (100, 80, 3)
    intake.limits = replace(intake.limits, ceilings=LimitCeilings(cpu_percent=50))
    with pytest.raises(InvalidConfigError, match="CI_MAX_CPU_PERCENT"):
        await place.service(intake).rerun(ANN, old.job_id)


async def test_quotas_and_the_disk(place, tmp_path):
    old = await place.submitted()
    for quotas, error in (
        (Quotas(live_jobs_per_user=1), TooManyJobsError),
        (Quotas(stored_bytes_per_tenant=2 * len(projects.ANY) - 1), QuotaExceededError),
    ):
        with pytest.raises(error):
            await place.service(place.made(quotas)).rerun(ANN, old.job_id)
    place.packages = FilePackageStore(place.path, 1 << 60)
    with pytest.raises(DiskFullError):
        await place.service(place.made()).rerun(ANN, old.job_id)
    assert [job.job_id for job in await place.rows.transitions.active()] == [old.job_id]
    assert place.left() == [f"{old.job_id}.zip"]
