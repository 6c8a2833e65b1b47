"""The SQL of lists of jobs."""

from dataclasses import dataclass, replace

from ci_common.job import Door, format_time
from ci_common.policy import JobScope
from ci_common.ports.rows import JobQuery, JobSort, JobState
from ci_persistence.sqlite.job_rows import COLUMNS, scope_conditions, state_conditions

Parameter = str | int
Sql = tuple[str, tuple[Parameter, ...]]

OF_OTHER_DOORS = "door != 'native'"
"""Only for these is there an index by door, which SQLite uses where it reads this."""


@dataclass(frozen=True, slots=True)
class Position:
    """Of a job in a list: what the list is ordered by, and then its `seq`."""

    key: Parameter
    seq: int


KEYS = {
    JobSort.SUBMITTED: "seq",
    JobSort.ENDED: "ended_at",
    JobSort.DURATION: (
        "CAST(round((julianday(ended_at) - julianday(started_at)) * 86400000) AS INTEGER)"
    ),
}
"""SQL; NULL for jobs that are not in a list of this order."""

_INDEX = "jobs INDEXED BY jobs_listed"
"""Has all that jobs are filtered by but labels and texts, newest last."""
_BY_LABEL = f"job_labels AS first CROSS JOIN {_INDEX} ON jobs.seq = first.seq"
_BY_TEXT = f"job_texts AS first CROSS JOIN {_INDEX} ON jobs.seq = first.seq"
_HAS_LABEL = "first.seq IN (SELECT seq FROM job_labels WHERE key = ? AND value = ?)"
_TEXT = "(SELECT text FROM job_texts WHERE job_texts.seq = jobs.seq)"


def list_sql(scope: JobScope, query: JobQuery, after: Position | None) -> Sql:
    """Selects the jobs of a list, `after` that job of it."""
    source, conditions, parameters = _matching(scope, query)
    direction, sign = ("DESC", "<") if query.descending else ("ASC", ">")
    seq = "first.seq" if "first" in source else "jobs.seq"
    keys = [seq] if query.sort is JobSort.SUBMITTED else [KEYS[query.sort], seq]
    if after is not None:
        conditions.append(f"({', '.join(keys)}) {sign} ({', '.join('?' * len(keys))})")
        parameters += [after.key, after.seq][-len(keys) :]
    order = ", ".join(f"{key} {direction}" for key in keys)
    where = f"WHERE {' AND '.join(conditions) or 'true'} ORDER BY {order} LIMIT ?"
    if source == "jobs":
        return f"SELECT {COLUMNS} FROM jobs {where}", (*parameters, query.limit)  # noqa: S608
    found = f"SELECT jobs.seq FROM {source} {where}"  # noqa: S608
    order = order.replace("first.", "jobs.")
    sql = f"SELECT {COLUMNS} FROM jobs WHERE seq IN ({found}) ORDER BY {order}"  # noqa: S608
    return sql, (*parameters, query.limit)


def count_sql(scope: JobScope, query: JobQuery) -> Sql:
    """Counts the jobs that match."""
    source, conditions, parameters = _matching(scope, replace(query, before=None))
    where = " AND ".join(conditions) or "true"
    return f"SELECT count(*) AS total FROM {source} WHERE {where}", tuple(parameters)  # noqa: S608


def _matching(scope: JobScope, query: JobQuery) -> tuple[str, list[str], list[Parameter]]:
    """Where to look, conditions, and their parameters."""
    conditions, of_scope = scope_conditions(scope)
    conditions = [f"jobs.{condition}" for condition in conditions]
    parameters: list[Parameter] = [*of_scope]
    source = "jobs"
    if query.labels:
        source = _BY_LABEL
        if scope.tenant is not None:
            conditions.append("first.tenant = ?")
            parameters.append(scope.tenant)
        conditions += ["first.key = ?", "first.value = ?"]
        parameters += query.labels[0]
        for label in query.labels[1:]:
            conditions.append(_HAS_LABEL)
            parameters += label
    elif scope.user is None and _is_about_text_alone(query):
        source = _BY_TEXT
    elif not _has_own_index(scope, query):
        source = _INDEX
    _add_facts(query, conditions, parameters)
    for word in (query.text or "").split():
        text = "first.text" if source == _BY_TEXT else _TEXT
        conditions.append(f"instr({text}, lower(?)) > 0")
        parameters.append(word)
    return source, conditions, parameters


def _add_facts(query: JobQuery, conditions: list[str], parameters: list[Parameter]) -> None:
    """Conditions for the columns."""
    wanted = {
        "door = ?": None if query.door is None else query.door.value,
        "user = ?": query.user,
        "name = ?": query.name,
        "reason = ?": query.reason,
        "created_at >= ?": format_time(query.since),
        "created_at < ?": format_time(query.until),
    }
    for condition, value in wanted.items():
        if value is not None:
            conditions.append(f"jobs.{condition}")
            parameters.append(value)
    if query.reason is not None:
        conditions.append("ended_at IS NOT NULL")  # a failure that is being recorded has one, too
    if query.door not in (None, Door.NATIVE):
        conditions.append(OF_OTHER_DOORS)
    if query.states is not None:
        conditions.append(state_conditions(query.states))
    if query.sort is not JobSort.SUBMITTED:
        conditions.append(f"{KEYS[query.sort]} IS NOT NULL")


def _has_own_index(scope: JobScope, query: JobQuery) -> bool:
    """Whether another index than that of lists finds the jobs, and has them in order."""
    if scope.job_id is not None or query.door not in (None, Door.NATIVE):
        return True
    others = (query.door, query.name, query.reason, query.since, query.until, query.text)
    if query.sort is not JobSort.SUBMITTED or any(value is not None for value in others):
        return False
    by_user = scope.user is not None or query.user is not None
    if scope.tenant is None:
        return not by_user and query.states is None
    return query.states is None or (not by_user and _is_by_status(query.states))


def _is_by_status(states: tuple[JobState, ...]) -> bool:
    """Whether it is about one status alone."""
    return len(states) == 1 and states[0].success is None and states[0].cancel_requested is None


def _is_about_text_alone(query: JobQuery) -> bool:
    only = JobQuery(
        limit=query.limit, before=query.before, text=query.text, descending=query.descending
    )
    return query.text is not None and query == only
