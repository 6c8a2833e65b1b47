"""What a submission asks for, and the job that it and the project's table make."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from ci_common.errors import InvalidConfigError, UnknownJobNameError
from ci_common.git_facts import GitFacts
from ci_common.job import (
    DEFAULT_PRIORITY,
    LONGEST_TITLE,
    Door,
    JobSpec,
    ResourceLimits,
    is_title,
)
from ci_common.labels import labels_problem
from ci_common.notify_targets import targets_problem
from ci_common.run import RunRequest
from ci_common.suggestions import closest
from ci_server.submission.job_limits import NO_CEILINGS, DefaultLimits, LimitCeilings
from ci_server.submission.project_config import (
    JOB_NAME,
    LONGEST_SECONDS,
    MOST_PRIORITY,
    MOST_RETRIES,
    JobTable,
    name_of_table,
    read_table,
    requirements_line_problem,
    table_file,
)
from ci_server.submission.table_problems import OF_A_JOB, explain

DEFAULT_JOB = "test"


@dataclass(frozen=True, slots=True)
class SubmissionRequest:
    """What is asked for beside the package; `None` leaves it to the project's table. Each door
    makes one of what it reads. What is also in the table is checked by the table's rules, see
    `resolve_spec`.

    Raises InvalidConfigError for what no job may be, in case a door let it through.
    """

    job: str | None = None
    """Which job of the table."""
    command: tuple[str, ...] | None = None
    """The argument vector, in place of the job's own."""
    priority: int | None = None
    """0 to 10; 10 first."""
    retries: int | None = None
    """0 to 10."""
    timeout_seconds: float | None = None
    install: tuple[str, ...] | None = None
    """Lines of a requirements file, which are installed before the command; none: nothing."""
    git: GitFacts | None = None
    tty: bool | None = None
    """Whether the command is on a pseudo-terminal."""
    color: bool | None = None
    """Whether whoever submits it can see colours. The project's table has no word for it."""
    title: str | None = None
    """What people call the job: at most 200 printable characters."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """In addition to the table's, and in place of those of the same key."""
    private: bool | None = None
    """Whether only the submitter and admins may read it."""
    notify: tuple[str, ...] | None = field(default=None, repr=False)
    """URLs, and `mailto:` addresses, that are told of the job's end."""
    image: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables in addition to the table's, and in place of those of the same name."""
    artifacts: tuple[str, ...] | None = None
    """Globs, relative to the project."""
    cpu_percent: int | None = None
    memory_mb: int | None = None
    block_io_bytes: int | None = None
    """See ResourceLimits."""
    grace_seconds: float | None = None
    """Between SIGTERM and SIGKILL."""
    door: Door = Door.NATIVE
    """Where it came in."""
    run: RunRequest | None = None
    """Of the runs API: what is stored with the job."""

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise InvalidConfigError(problem)


def _problem(request: SubmissionRequest) -> str | None:
    command, timeout = request.command, request.timeout_seconds
    if request.job is not None and not re.fullmatch(JOB_NAME, request.job):
        return "job: a name must have at most 64 letters, digits, and _ . -"
    if command is not None and (not command or not command[0]):
        return "command: must begin with the name of a program"
    if command is not None and any("\0" in argument for argument in command):
        return "command: must not contain a NUL character"
    if request.priority is not None and not 0 <= request.priority <= MOST_PRIORITY:
        return f"priority: must be an integer from 0 to {MOST_PRIORITY}"
    if request.retries is not None and not 0 <= request.retries <= MOST_RETRIES:
        return f"retries: must be an integer from 0 to {MOST_RETRIES}"
    if timeout is not None and not 0 < timeout <= LONGEST_SECONDS:
        return "timeout: must be greater than 0 and at most a year"
    if request.title is not None and not is_title(request.title):
        return f"title: must be 1 to {LONGEST_TITLE} printable characters"
    if problem := labels_problem(request.labels):
        return f"labels: {problem}"
    if problem := targets_problem(request.notify or ()):
        return f"notify: {problem}"
    for line in request.install or ():
        if problem := requirements_line_problem(line):
            return f"install: {problem}"
    return None


def resolve_spec(
    config_files: Mapping[str, bytes] | None,
    request: SubmissionRequest,
    defaults: DefaultLimits,
    ceilings: LimitCeilings = NO_CEILINGS,
) -> JobSpec:
    """What to run. `config_files` are those of the package; `None` means that there is no package.

    Raises InvalidConfigError, UnknownJobNameError.
    """
    if config_files is None and request.command is None:
        raise InvalidConfigError("a job without a package has no configuration: specify a command")
    job = _overridden(_job_table(config_files or {}, request), request)
    defaults = ceilings.at_most(defaults)
    limits = _limits(job, request, defaults)
    ceilings.check(limits)
    labels = {**job.labels, **request.labels}
    if problem := labels_problem(labels):
        raise InvalidConfigError(f"labels: {problem}")
    return JobSpec(
        name=request.job or DEFAULT_JOB,
        command=request.command or tuple(job.command),
        image=job.image,
        env=job.env,
        artifacts=tuple(job.artifacts),
        priority=DEFAULT_PRIORITY if request.priority is None else request.priority,
        retries=job.retries if request.retries is None else request.retries,
        limits=limits,
        secrets=tuple(dict.fromkeys(job.secrets)),
        install=_install(job, request),
        git=request.git,
        tty=job.tty if request.tty is None else request.tty,
        color=bool(request.color),
        title=request.title,
        labels=labels,
        private=job.private if request.private is None else request.private,
        notify=tuple(dict.fromkeys(job.notify if request.notify is None else request.notify)),
    )


def _install(job: JobTable, request: SubmissionRequest) -> tuple[str, ...] | None:
    if request.install is not None:
        return request.install
    return None if job.install is None else tuple(job.install)


def _job_table(config_files: Mapping[str, bytes], request: SubmissionRequest) -> JobTable:
    """The table of the job that is asked for; one that has a command of its own needs none."""
    file, jobs = table_file(config_files), read_table(config_files).jobs
    name = request.job or DEFAULT_JOB
    if name in jobs:
        return jobs[name]
    if name != DEFAULT_JOB and request.command is None:
        known = sorted({DEFAULT_JOB, *jobs})
        meant = closest(name, known)
        raise UnknownJobNameError(
            f"the project has no job {name!r}; it has: {', '.join(known)}. Jobs are configured as "
            f"[{name_of_table(file)}] in its {file}"
            + (f". Did you mean {meant!r}?" if meant else "")
        )
    return JobTable()


def _overridden(job: JobTable, request: SubmissionRequest) -> JobTable:
    """The table with what the request has in place of it. Raises InvalidConfigError."""
    asked: dict[str, Any] = {
        "image": request.image,
        "env": {**job.env, **request.env} if request.env else None,
        "artifacts": None if request.artifacts is None else list(request.artifacts),
        "cpu": request.cpu_percent,
        "memory": request.memory_mb,
        "block_io": request.block_io_bytes,
        "grace": request.grace_seconds,
    }
    changes = {key: value for key, value in asked.items() if value is not None}
    if not changes:
        return job
    try:
        return JobTable.model_validate({**job.model_dump(), **changes})
    except ValidationError as error:
        raise InvalidConfigError(explain(error, allowed=OF_A_JOB)) from error


def _limits(job: JobTable, request: SubmissionRequest, defaults: DefaultLimits) -> ResourceLimits:
    return ResourceLimits(
        timeout_seconds=request.timeout_seconds or job.timeout or defaults.timeout_seconds,
        cpu_percent=job.cpu or defaults.cpu_percent,
        memory_mb=job.memory or defaults.memory_mb,
        pids=job.pids or defaults.pids,
        network=job.network,
        block_io_bytes=job.block_io,
        shm_mb=job.shm,
        log_mb=min(job.log or defaults.log_mb, defaults.log_mb),
        grace_seconds=defaults.grace_seconds if job.grace is None else job.grace,
    )
