"""Which secrets a submitted job gets, and that they are in nothing that others may see."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from ci_common.errors import InvalidSecretError, SecretsNeededError
from ci_common.job import JobSpec
from ci_common.ports.secrets import SecretIntake, TenantSecrets
from ci_common.secret import Secret, check_secrets


class SecretService:
    """The secrets part of a submission."""

    def __init__(self, of_tenants: TenantSecrets, intake: SecretIntake) -> None:
        self._of_tenants = of_tenants
        self._intake = intake

    async def resolve(
        self, tenant: str, spec: JobSpec, sent: Sequence[Secret]
    ) -> tuple[JobSpec, list[Secret]]:
        """The secrets of a job: those sent with it, and of those its table asks for the tenant's
        in place of what was not sent. The spec then has the names of all.

        Raises InvalidSecretError, UnknownSecretError.
        """
        names = {secret.name for secret in sent}
        asked = [name for name in spec.secrets if name not in names]
        secrets = [*sent, *(await self._of_tenants.named(tenant, asked) if asked else [])]
        if secrets:
            check_secrets(secrets)
            _check_not_shown(spec, secrets)
        all_names = tuple(secret.name for secret in secrets)
        return replace(spec, secrets=all_names, tenant_secrets=tuple(asked)), secrets

    async def store(self, job_id: str, secrets: Sequence[Secret]) -> None:
        """Keep them for the job, durably."""
        if secrets:
            await asyncio.to_thread(self._intake.store, job_id, secrets)

    def forget(self, job_id: str, secrets: Sequence[Secret]) -> None:
        """The job was not queued after all."""
        if secrets:
            self._intake.forget(job_id)


def check_secrets_sent(spec: JobSpec, sent: Sequence[Secret]) -> None:
    """Raise SecretsNeededError unless those are sent again that a job like this was sent with."""
    known = {*spec.tenant_secrets, *(secret.name for secret in sent)}
    missing = [name for name in spec.secrets if name not in known]
    if missing:
        raise SecretsNeededError(
            f"the job had secrets that must be given again, because their values are not kept: "
            f"{', '.join(missing)}"
        )


def _check_not_shown(spec: JobSpec, secrets: Sequence[Secret]) -> None:
    """Command and variables are told to everybody who may see the job."""
    shown = "\0".join([*spec.command, *spec.env.values(), *spec.artifacts, spec.image or ""])
    for secret in secrets:
        if secret.value.strip() in shown.encode(errors="surrogatepass"):
            raise InvalidSecretError(
                f"the command or an environment variable of the job contains the value of the "
                f"secret {secret.name}, where everyone who can see the job could read it; let the "
                f"job read it from the variable {secret.name} or its file (in a shell, quote '$"
                f"{secret.name}' so that your own shell does not expand it)"
            )
