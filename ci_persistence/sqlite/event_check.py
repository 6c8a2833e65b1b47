"""Check that job events agree with the job rows, and repair them."""

from dataclasses import dataclass

from ci_persistence.database.database import Database
from ci_persistence.sqlite.events import BEGIN_STREAM, LATEST
from ci_persistence.sqlite.job_rows import LIVE

_WITHOUT_JOB = (
    "FROM job_events WHERE kind != 'deleted' "
    "AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.job_id = job_events.job_id)"
)
_TOO_EARLY = (
    "FROM job_events WHERE kind = 'finished' AND EXISTS "  # noqa: S608 - constants
    f"(SELECT 1 FROM jobs WHERE jobs.job_id = job_events.job_id AND status IN {LIVE})"
)


def _without(kind: str) -> str:
    """FROM clause: jobs without an event of this kind."""
    return (
        "FROM jobs WHERE NOT EXISTS (SELECT 1 FROM job_events "  # noqa: S608 - constants
        f"WHERE job_events.job_id = jobs.job_id AND kind = '{kind}')"
    )


_NOT_SUBMITTED = _without("submitted")
_NOT_FINISHED = f"{_without('finished')} AND status NOT IN {LIVE}"

_COUNTS = (
    f"SELECT (SELECT count(*) {_NOT_SUBMITTED}) + (SELECT count(*) {_NOT_FINISHED}) AS missing, "  # noqa: S608
    f"(SELECT count(*) {_WITHOUT_JOB}) + (SELECT count(*) {_TOO_EARLY}) AS surplus, "
    f"max((SELECT coalesce(max(seq), 0) FROM job_events) - {LATEST}, 0) AS behind"
)

_INSERT = (
    "INSERT INTO job_events (job_id, tenant, user, kind, at, facts) SELECT job_id, tenant, user"
)
_ADD_SUBMITTED = (
    f"{_INSERT}, 'submitted', created_at, json_object('name', json_extract(spec, '$.name'), "
    f"'priority', priority) {_NOT_SUBMITTED}"
)
_TEST_COUNTS = ", ".join(
    f"'{name}', json_extract(tests, '$.{name}')"
    for name in ("total", "passed", "failed", "errors", "skipped", "seconds")
)
_ADD_FINISHED = (
    f"{_INSERT}, 'finished', ended_at, json_object('status', status, 'reason', reason, "
    "'message', message, 'exit_code', exit_code, 'attempt', attempt, 'log_size', log_size, "
    "'artifacts_size', artifacts_size, 'tests', json(CASE WHEN tests IS NOT NULL "
    f"THEN json_object({_TEST_COUNTS}) END)) {_NOT_FINISHED}"
)


@dataclass(frozen=True, slots=True)
class EventFaults:
    """Where events and rows disagree; true if anywhere."""

    missing: int
    """SUBMITTED and FINISHED events that should exist and do not."""
    surplus: int
    """Events of jobs that do not exist, and FINISHED events of live jobs."""
    behind: int
    """By how much the counter is below the highest number: numbers would be reused."""

    def __bool__(self) -> bool:
        return (self.missing, self.surplus, self.behind) != (0, 0, 0)


async def check_events(database: Database) -> EventFaults:
    """Compare all jobs and events in one snapshot."""
    (row,) = await database.fetch_all(_COUNTS)
    return EventFaults(row["missing"], row["surplus"], row["behind"])


async def repair_events(database: Database) -> None:
    """Add missing events, remove surplus ones, and start a new stream, so that readers get
    EventsGoneError and list the jobs again.
    """
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, "
            "(SELECT coalesce(max(seq), 0) FROM job_events)) WHERE name = 'job_events'"
        )
        await connection.execute(BEGIN_STREAM)
        for statement in (f"DELETE {_WITHOUT_JOB}", f"DELETE {_TOO_EARLY}"):
            await connection.execute(statement)
        for statement in (_ADD_SUBMITTED, _ADD_FINISHED):
            await connection.execute(statement)
