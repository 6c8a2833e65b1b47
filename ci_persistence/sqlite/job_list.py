"""The SQL of lists of jobs."""

from dataclasses import dataclass

from ci_common.job import Door, format_time
from ci_common.policy import JobScope
from ci_common.ports.rows import JobQuery, JobSort, JobState
from ci_persistence.sqlite.job_rows import (
    COLUMNS,
    ordered_scope_conditions,
    scope_conditions,
    state_conditions,
)

Parameter = str | int
Sql = tuple[str, tuple[Parameter, ...]]
_Part = tuple[list[str], list[Parameter]]
"""Conditions, and their parameters."""

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

_JOBS = "jobs"
_INDEX = "jobs INDEXED BY jobs_listed"
"""Has all that jobs are filtered by but labels and texts, newest last."""
_BY_LABEL = f"job_labels AS first CROSS JOIN {_INDEX} ON jobs.seq = first.seq"
_BY_TEXT = f"job_texts AS first CROSS JOIN {_INDEX} ON jobs.seq = first.seq"
_HAS_LABEL = "first.seq IN (SELECT seq FROM job_labels WHERE key = ? AND value = ?)"
_TEXT = "(SELECT text FROM job_texts WHERE job_texts.seq = jobs.seq)"


def list_sql(scope: JobScope, query: JobQuery, after: Position | None) -> Sql:
    """Selects the jobs of a list, `after` that job of it."""
    source = _source(scope, query)
    direction, sign = ("DESC", "<") if query.descending else ("ASC", ">")
    seq = "first.seq" if "first" in source else "seq"
    keys = [seq] if query.sort is JobSort.SUBMITTED else [KEYS[query.sort], seq]
    parts = _parts(scope, query, source)
    if after is not None:
        behind = f"({', '.join(keys)}) {sign} ({', '.join('?' * len(keys))})"
        place = [after.key, after.seq][-len(keys) :]
        parts = [([*conditions, behind], [*owned, *place]) for conditions, owned in parts]
    order = ", ".join(f"{key} {direction}" for key in keys)
    columns = f"{COLUMNS}, seq" if source == _JOBS else seq
    # SQLite merges parts that are each in order, and reads no more of them than the list shows.
    found = " UNION ALL ".join(_select(columns, source, part) for part, _ in parts)
    found = f"{found} ORDER BY {order} LIMIT ?"
    parameters = (*_parameters(parts), query.limit)
    if source == _JOBS:
        return found, parameters
    order = order.replace("first.", "")
    sql = f"SELECT {COLUMNS} FROM jobs WHERE seq IN ({found}) ORDER BY {order}"  # noqa: S608
    return sql, parameters


def count_sql(scope: JobScope, query: JobQuery) -> Sql:
    """Counts the jobs that match."""
    source = _source(scope, query)
    parts = _parts(scope, query, source)
    counts = " + ".join(f"({_select('count(*)', source, part)})" for part, _ in parts)
    return f"SELECT {counts} AS total", _parameters(parts)


def _select(columns: str, source: str, conditions: list[str]) -> str:
    where = " AND ".join(conditions) or "true"
    return f"SELECT {columns} FROM {source} WHERE {where}"  # noqa: S608 - constants


def _parameters(parts: list[_Part]) -> tuple[Parameter, ...]:
    return tuple(value for _, owned in parts for value in owned)


def _source(scope: JobScope, query: JobQuery) -> str:
    """Where to look."""
    if query.labels:
        return _BY_LABEL
    if not _is_of_one_user(scope) and _is_about_text_alone(query):
        return _BY_TEXT
    return _JOBS if _has_own_index(scope, query) else _INDEX


def _parts(scope: JobScope, query: JobQuery, source: str) -> list[_Part]:
    """Disjoint, and together the jobs that match."""
    if source == _JOBS and not _is_narrow(scope, query):
        of_scope = ordered_scope_conditions(scope)
    else:
        of_scope = [scope_conditions(scope, "jobs.")]
    parts: list[_Part] = [([*conditions], [*parameters]) for conditions, parameters in of_scope]
    for conditions, parameters in parts:
        if query.labels:
            _add_labels(scope, query, conditions, parameters)
        _add_facts(query, conditions, parameters)
        for word in (query.text or "").split():
            text = "first.text" if source == _BY_TEXT else _TEXT
            conditions.append(f"instr({text}, lower(?)) > 0")
            parameters.append(word)
    return parts


def _add_labels(
    scope: JobScope, query: JobQuery, conditions: list[str], parameters: list[Parameter]
) -> None:
    """Conditions for the labels, the first of which leads."""
    if scope.tenant is not None:
        conditions.append("first.tenant = ?")
        parameters.append(scope.tenant)
    conditions += ["first.key = ?", "first.value = ?"]
    parameters += query.labels[0]
    for label in query.labels[1:]:
        conditions.append(_HAS_LABEL)
        parameters += label


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
    if query.ids is not None:
        # Found by the index of ids, and then in that of lists.
        ids = ", ".join("?" * len(query.ids))
        conditions.append(f"jobs.seq IN (SELECT seq FROM jobs WHERE job_id IN ({ids}))")  # noqa: S608
        parameters += query.ids
    if query.sort is not JobSort.SUBMITTED:
        conditions.append(f"{KEYS[query.sort]} IS NOT NULL")


def _has_own_index(scope: JobScope, query: JobQuery) -> bool:
    """Whether another index than that of lists finds the jobs, and has them in order."""
    if _is_narrow(scope, query):
        return True
    others = (query.door, query.name, query.reason, query.since, query.until, query.text, query.ids)
    if query.sort is not JobSort.SUBMITTED or any(value is not None for value in others):
        return False
    if scope.others and query.user is not None:
        return False  # of a user there is an index, but not of what others may see
    by_user = _is_of_one_user(scope) or query.user is not None
    if scope.tenant is None:
        return not by_user and query.states is None
    return query.states is None or (not by_user and _is_by_status(query.states))


def _is_of_one_user(scope: JobScope) -> bool:
    return scope.user is not None and not scope.others


def _is_narrow(scope: JobScope, query: JobQuery) -> bool:
    """Whether it is about one job, or about a door that has its own index."""
    return scope.job_id is not None or query.door not in (None, Door.NATIVE)


def _is_by_status(states: tuple[JobState, ...]) -> bool:
    """Whether it is about one status alone."""
    return len(states) == 1 and states[0].success is None and states[0].cancel_requested is None


def _is_about_text_alone(query: JobQuery) -> bool:
    only = JobQuery(
        limit=query.limit, before=query.before, text=query.text, descending=query.descending
    )
    return query.text is not None and query == only
