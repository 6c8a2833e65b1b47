"""Secrets of jobs as encrypted files, one a job (ports SecretIntake, JobSecrets)."""

import base64
import errno
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from ci_common.errors import DiskFullError, SecretKeyError, SecretsUnavailableError
from ci_common.job import Job
from ci_common.ports.secrets import JobSecrets, SecretIntake
from ci_common.secret import Secret
from ci_persistence.files.data_directory import Check, explained, no_check
from ci_persistence.files.durable import sync_directory, untouched
from ci_persistence.files.secret_keys import SecretKeys

_SUFFIX = ".enc"
_PART = ".part"
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SecretFiles:
    """The files of one data directory, for those who need not read them."""

    def __init__(self, data_path: Path) -> None:
        self._directory = data_path / "secrets"

    def has(self, job_id: str) -> bool:
        """Whether there is one of this job."""
        return self._path(job_id).exists()

    def forget(self, job_id: str) -> None:
        """Delete that of this job; safe to repeat, and when there is none."""
        self._path(job_id).unlink(missing_ok=True)

    def job_ids(self, older_than_seconds: float) -> list[str]:
        """The jobs that there are secrets of, untouched for so long at least."""
        found = untouched(self._directory, f"*{_SUFFIX}", older_than_seconds)
        return [path.name.removesuffix(_SUFFIX) for path in found]

    def staged(self, older_than_seconds: float) -> list[Path]:
        """What a crash left half written."""
        return list(untouched(self._directory, f"*{_PART}", older_than_seconds))

    def _path(self, job_id: str) -> Path:
        return self._directory / f"{job_id}{_SUFFIX}"


class FileJobSecrets(SecretFiles, SecretIntake, JobSecrets):
    """The secrets of the live jobs of one data directory."""

    def __init__(self, data_path: Path, keys: SecretKeys, check: Check = no_check) -> None:
        super().__init__(data_path)
        self._keys = keys
        self._check = check

    @override
    def store(self, job_id: str, secrets: Sequence[Secret]) -> None:
        self._check()  # or a key would be made in a directory that is not ours
        try:
            with explained(self._check):
                content = self._keys.encrypt(_to_json(secrets), _context(job_id))
                self._write(job_id, content)
        except OSError as error:
            self.forget(job_id)
            if error.errno not in _DISK_FULL:
                raise
            raise DiskFullError(
                f"the server's disk is full ({error.strerror}); free space there and try again"
            ) from error

    @override
    def of(self, job: Job) -> list[Secret]:
        if not job.spec.secrets:
            return []
        try:
            encrypted = self._path(job.job_id).read_bytes()
            secrets = _from_json(self._keys.decrypt(encrypted, _context(job.job_id)))
        except FileNotFoundError:
            self._check()
            raise SecretsUnavailableError(
                "the job's secrets are not on this server: backups, from which it may have been "
                "restored, do not hold them; submit the job again"
            ) from None
        except SecretKeyError as error:
            self._check()  # the key file may be gone with all others
            raise SecretsUnavailableError(
                f"the job's secrets cannot be read: {error.message}; then submit the job again"
            ) from error
        if {secret.name for secret in secrets} != set(job.spec.secrets):
            raise SecretsUnavailableError
        return secrets

    @override
    def job_ids(self, older_than_seconds: float) -> list[str]:
        """What a crash left half written is removed on the way."""
        for path in self.staged(older_than_seconds):
            path.unlink(missing_ok=True)
        return super().job_ids(older_than_seconds)

    def _write(self, job_id: str, content: bytes) -> None:
        # Not sooner: who only looks, such as a tool that runs as root, makes none that is its own.
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._directory / f"{uuid.uuid4()}{_PART}"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.rename(self._path(job_id))
        finally:
            part.unlink(missing_ok=True)
        sync_directory(self._directory)


def _context(job_id: str) -> str:
    return f"job {job_id}"


def _to_json(secrets: Sequence[Secret]) -> bytes:
    fields = [
        {
            "name": secret.name,
            "value": base64.b64encode(secret.value).decode(),
            "in_environment": secret.in_environment,
        }
        for secret in secrets
    ]
    return json.dumps(fields).encode()


def _from_json(content: bytes) -> list[Secret]:
    return [
        Secret(fields["name"], base64.b64decode(fields["value"]), fields["in_environment"])
        for fields in json.loads(content)
    ]
