"""The parts of a submitted form beside the zip: JSON in, what the intake takes out."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ci_common.errors import InvalidSecretError, InvalidUploadError
from ci_common.git_facts import GitFacts
from ci_common.secret import Secret, check_name, check_secrets
from ci_common.strict_json import AmbiguousJsonError, strict_object
from ci_server.http.multipart import FormShape
from ci_server.submission.project_config import (
    JOB_NAME,
    MOST_PRIORITY,
    MOST_RETRIES,
    Artifacts,
    Command,
    Cpu,
    Environment,
    Given,
    Image,
    Install,
    Labels,
    Memory,
    Notify,
    Timeout,
)
from ci_server.submission.request import SubmissionRequest
from ci_server.submission.table_problems import (
    FLAG,
    INSTALL,
    LABELS,
    NOTIFY,
    OF_A_JOB,
    RETRIES,
    TIMEOUT,
    explain,
)

_FIELDS = {
    "job": "the name of a job",
    "command": "a list of strings, not empty",
    "priority": f"an integer from 0 to {MOST_PRIORITY}",
    "retries": RETRIES,
    "timeout": TIMEOUT,
    "install": INSTALL,
    "tty": FLAG,
    "color": FLAG,
    "git": "an object of commit, branch, dirty, describe and remote",
    "labels": LABELS,
    "private": FLAG,
    "notify": NOTIFY,
    **{name: OF_A_JOB[name] for name in ("image", "env", "artifacts", "cpu", "memory")},
}
_SECRETS = (
    "the part 'secrets' is a JSON object of objects by name: "
    '{"NAME": {"value": "<base64>", "environment": true}}'
)


class SubmittedGit(BaseModel):
    """What the client's git says of the work tree; see GitFacts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    commit: str
    branch: str | None = None
    dirty: bool = False
    describe: str | None = None
    remote: str | None = None


class SubmittedSpec(BaseModel):
    """The form's part `spec`: which job, and what it has in place of the table's. Job and command
    may be null, because clients say so when they have none.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    job: str | None = Field(default=None, pattern=JOB_NAME)
    command: Command | None = Field(default=None, min_length=1)
    priority: Annotated[int | None, Given] = Field(default=None, ge=0, le=MOST_PRIORITY)
    retries: Annotated[int | None, Given] = Field(default=None, ge=0, le=MOST_RETRIES)
    timeout: Annotated[Timeout | None, Given] = None
    install: Annotated[Install | None, Given] = None
    git: Annotated[SubmittedGit | None, Given] = None
    tty: Annotated[bool | None, Given] = None
    color: Annotated[bool | None, Given] = None
    image: Annotated[Image | None, Given] = None
    env: Annotated[Environment | None, Given] = None
    artifacts: Annotated[Artifacts | None, Given] = None
    cpu: Annotated[Cpu | None, Given] = None
    memory: Annotated[Memory | None, Given] = None
    labels: Annotated[Labels | None, Given] = None
    private: Annotated[bool | None, Given] = None
    notify: Annotated[Notify | None, Given] = None


FILE_FIELD, SPEC_FIELD, SECRETS_FIELD = "file", "spec", "secrets"
FORM = FormShape(
    file=FILE_FIELD,
    texts={SPEC_FIELD: 64 << 10, SECRETS_FIELD: 256 << 10},
    how="send multipart/form-data with the zip as the part 'file', e.g. curl -F file=@project.zip",
)

FIELDS = tuple(SubmittedSpec.model_fields)
"""Of the part `spec`, so that clients can tell what a server knows."""


def read_submitted_request(content: bytes) -> SubmissionRequest:
    """The form's part `spec`; empty means the defaults. Raises InvalidUploadError."""
    spec = _read_spec(content)
    return SubmissionRequest(
        job=spec.job,
        command=None if spec.command is None else tuple(spec.command),
        priority=spec.priority,
        retries=spec.retries,
        timeout_seconds=spec.timeout,
        install=None if spec.install is None else tuple(spec.install),
        git=_git(spec.git),
        tty=spec.tty,
        color=spec.color,
        labels=spec.labels or {},
        image=spec.image,
        env=spec.env or {},
        artifacts=None if spec.artifacts is None else tuple(spec.artifacts),
        cpu_percent=spec.cpu,
        memory_mb=spec.memory,
        private=spec.private,
        notify=None if spec.notify is None else tuple(spec.notify),
    )


def _git(submitted: SubmittedGit | None) -> GitFacts | None:
    if submitted is None:
        return None
    try:
        return GitFacts(**submitted.model_dump())
    except ValueError as error:
        raise InvalidUploadError(f"the part 'spec' is invalid: git: {error}") from error


def _read_spec(content: bytes) -> SubmittedSpec:
    if not content:
        return SubmittedSpec()
    try:
        return SubmittedSpec.model_validate(strict_object(content))
    except AmbiguousJsonError as error:
        raise InvalidUploadError(f"the part 'spec' is invalid: {error.located}") from None
    except ValidationError as error:
        problems = explain(error, allowed=_FIELDS)
        raise InvalidUploadError(f"the part 'spec' is invalid: {problems}") from error


def read_submitted_secrets(content: bytes) -> list[Secret]:
    """The form's part `secrets`; empty means none. Raises InvalidSecretError, which repeats
    nothing of the content.
    """
    if not content:
        return []
    try:
        table = strict_object(content)
    except AmbiguousJsonError as error:
        raise InvalidSecretError(f"{_SECRETS}; this is {error}") from None
    return secrets_in(table)


def secrets_in(table: Mapping[str, Any]) -> list[Secret]:
    """Those of a JSON object by name. Raises InvalidSecretError, which repeats nothing of it."""
    secrets = [_secret(name, fields) for name, fields in table.items()]
    check_secrets(secrets)
    return secrets


def _secret(name: str, fields: Any) -> Secret:
    check_name(name)
    known = isinstance(fields, dict) and fields.keys() <= {"value", "environment"}
    value = fields.get("value") if known else None
    in_environment = fields.get("environment", True) if known else None
    if not isinstance(value, str) or not isinstance(in_environment, bool):
        raise InvalidSecretError(f"{_SECRETS}; that of {name} is not such an object")
    try:
        return Secret(name, base64.b64decode(value, validate=True), in_environment)
    except (binascii.Error, ValueError):
        raise InvalidSecretError(f"{_SECRETS}; the value of {name} is not base64") from None
