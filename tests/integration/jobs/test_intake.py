"""Jobs born without HTTP: the intake over real stores, as doors of any kind call it."""

import asyncio

import pytest

from ci_common.errors import (
    ForbiddenError,
    InvalidConfigError,
    InvalidPackageError,
    InvalidSecretError,
    InvalidUploadError,
    RequestTimeoutError,
    TooManyJobsError,
    TooManyUploadsError,
    UnknownSecretError,
    UploadTooLargeError,
)
from ci_common.job import JobStatus, Package
from ci_common.ports.usage import Quotas
from ci_common.secret import Secret
from ci_server.submission.request import SubmissionRequest
from ci_server.submission.upload_body import Framing
from support import projects
from support.intake_place import ANN, TRUE, VIC, Place, pieces
from support.jobs import NOON

pytestmark = pytest.mark.anyio


@pytest.fixture
async def place(tmp_path):
    place = await Place().open(tmp_path)
    yield place
    await place.rows.database.close()


async def unread():
    raise AssertionError("the body was read")
    yield b""


# ------------------------------------------------------------------ accepted


async def test_a_body_from_any_iterator_becomes_a_job(place):
    job = await place.intake.accept(ANN, pieces(projects.ANY), TRUE)
    assert await place.job(job.job_id) == job
    assert (job.status, job.tenant, job.user) == (JobStatus.QUEUED, "acme", "ann")
    assert (job.created_at, job.spec.command, job.spec.name) == (NOON, ("true",), "test")
    assert (job.package.size, place.left()) == (len(projects.ANY), [f"{job.job_id}.zip"])
    with place.packages.open(job.job_id) as stored:
        assert stored.read() == projects.ANY
    assert place.bell.rings == 1
    assert await place.recorded() == [("submit", "allowed", "ann", job.job_id)]


async def test_no_body_becomes_a_job_without_a_package(place):
    asked = SubmissionRequest("model", ("python", "-m", "model"), 5, 2, 30.0)
    job = await place.intake.accept(ANN, None, asked)
    assert await place.job(job.job_id) == job
    assert (job.package, place.left()) == (None, [])
    assert (job.spec.name, job.spec.command) == ("model", ("python", "-m", "model"))
    assert (job.spec.priority, job.spec.retries, job.spec.limits.timeout_seconds) == (5, 2, 30)
    assert place.bell.rings == 1
    assert await place.recorded() == [("submit", "allowed", "ann", job.job_id)]


async def test_the_projects_table_is_read_from_any_body(place):
    project = projects.table("[tool.ci.jobs.lint]\ncommand = ['make', 'lint']")
    job = await place.intake.accept(ANN, pieces(project), SubmissionRequest(job="lint"))
    assert job.spec.command == ("make", "lint")


@pytest.mark.parametrize("body", [lambda: None, lambda: pieces(projects.ANY)])
async def test_secrets_are_stored_before_the_row(place, body):
    secrets = [Secret("TOKEN", b"a secret value", in_environment=True)]
    job = await place.intake.accept(ANN, body(), TRUE, secrets)
    assert job.spec.secrets == ("TOKEN",)
    assert place.secrets.of(job) == secrets


class Prefixed(Framing):
    """A door that has one byte before each chunk."""

    def __init__(self):
        self.ended = False

    def feed(self, chunk):
        return (chunk[1:],)

    def end(self):
        self.ended = True


async def test_a_door_may_learn_from_the_body_what_is_asked_for(place):
    framing = Prefixed()
    framed = (b"-" + piece async for piece in pieces(projects.ANY))
    async with place.intake.upload(ANN) as upload:
        await upload.receive(framed, framing)
        assert framing.ended
        job = await upload.submit(TRUE)
    assert job.package == Package(job.package.sha256, len(projects.ANY))
    assert place.left() == [f"{job.job_id}.zip"]


# ------------------------------------------------------------------ refused


async def test_who_may_not_submit_uploads_nothing(place):
    for body in (unread(), None):
        with pytest.raises(ForbiddenError):
            await place.intake.accept(VIC, body, TRUE)
    await place.check_nothing_happened()


async def test_without_room_nothing_is_uploaded(place):
    intake = place.made(Quotas(live_jobs_per_user=1))
    await intake.accept(ANN, None, TRUE)
    for body in (unread(), None):
        with pytest.raises(TooManyJobsError):
            await intake.accept(ANN, body, TRUE)
    assert place.left() == []


async def test_of_two_that_see_room_for_one_only_one_is_queued(place):
    intake = place.made(Quotas(live_jobs_per_user=1))
    bodies = (None, pieces(projects.ANY))
    ended = await asyncio.gather(
        *(intake.accept(ANN, body, TRUE) for body in bodies), return_exceptions=True
    )
    (job,) = await place.rows.transitions.active()
    assert [one for one in ended if not isinstance(one, TooManyJobsError)] == [job]
    assert place.left() == ([f"{job.job_id}.zip"] if job.package else [])
    assert place.bell.rings == 1


@pytest.mark.parametrize(
    ("body", "request_", "secrets", "error"),
    [
        (b"no zip", TRUE, (), InvalidPackageError),
        (b"", TRUE, (), InvalidPackageError),
        (projects.table("[tool.ci.jobs.test]\nx = 1"), TRUE, (), InvalidConfigError),
        (projects.table("[tool.ci.jobs.test]\nsecrets = ['NONE']"), TRUE, (), UnknownSecretError),
        (projects.ANY, TRUE, [Secret("A", b"true", in_environment=True)], InvalidSecretError),
        (None, SubmissionRequest(), (), InvalidConfigError),
    ],
)
async def test_what_is_refused_after_the_upload_leaves_nothing(
    place, body, request_, secrets, error
):
    with pytest.raises(error):
        await place.intake.accept(ANN, None if body is None else pieces(body), request_, secrets)
    await place.check_nothing_happened()


@pytest.mark.parametrize("body", [lambda: None, lambda: pieces(projects.ANY)])
async def test_a_priority_above_the_ceiling_is_refused_and_recorded(place, body):
    with pytest.raises(InvalidConfigError, match="priority of 6"):
        await place.intake.accept(ANN, body(), SubmissionRequest(command=("true",), priority=6))
    await place.check_nothing_happened()
    assert await place.recorded() == [("prioritize", "denied", "ann", None)]


async def test_a_body_that_is_too_large_is_not_read_to_its_end(place):
    async def endless():
        while True:
            yield b"x" * 1000

    with pytest.raises(UploadTooLargeError):
        await place.made(most=5000).accept(ANN, endless(), TRUE)
    await place.check_nothing_happened()


async def test_a_body_has_to_come_at_a_pace(place):
    async def stalled():
        yield projects.ANY[:10]
        await asyncio.Event().wait()

    with pytest.raises(RequestTimeoutError):
        await place.intake.accept(ANN, stalled(), TRUE)
    await place.check_nothing_happened()


async def test_a_body_that_breaks_off_leaves_nothing(place):
    async def broken():
        yield projects.ANY[:10]
        raise InvalidUploadError("the peer is gone")

    with pytest.raises(InvalidUploadError, match="gone"):
        await place.intake.accept(ANN, broken(), TRUE)
    await place.check_nothing_happened()


async def test_a_door_that_gives_up_leaves_nothing(place):
    under_way = asyncio.Event()

    async def half():
        yield projects.ANY[:10]
        under_way.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(place.made().accept(ANN, half(), TRUE))
    await under_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await place.check_nothing_happened()


async def test_uploads_take_a_slot_and_jobs_without_one_do_not(place):
    async with place.intake.upload(ANN):
        with pytest.raises(TooManyUploadsError):
            await place.intake.accept(ANN, unread(), TRUE)
        await place.intake.accept(ANN, None, TRUE)
    await place.intake.accept(ANN, pieces(projects.ANY), TRUE)


async def test_when_the_row_cannot_be_written_nothing_is_left(place):
    await place.rows.database.write("ALTER TABLE audit RENAME TO hidden")
    secrets = [Secret("TOKEN", b"a secret value", in_environment=True)]
    with pytest.raises(Exception, match="audit"):
        await place.intake.accept(ANN, pieces(projects.ANY), TRUE, secrets)
    await place.rows.database.write("ALTER TABLE hidden RENAME TO audit")
    await place.check_nothing_happened()
