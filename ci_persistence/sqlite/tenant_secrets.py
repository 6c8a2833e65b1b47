"""Secrets of tenants as encrypted rows (ports TenantSecrets, TenantSecretKeeper)."""

from collections.abc import Iterable
from datetime import datetime

from typing_extensions import override

from ci_common.errors import SecretKeyError, UnknownSecretError
from ci_common.job import format_time
from ci_common.ports.audit import AuditEntry
from ci_common.ports.secrets import TenantSecretEntry, TenantSecretKeeper, TenantSecrets
from ci_common.secret import Secret, check_secret
from ci_persistence.database.database import Database
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.sqlite.audit import insert


class SqliteTenantSecrets(TenantSecrets, TenantSecretKeeper):
    """What tenants of one database keep."""

    def __init__(self, database: Database, keys: SecretKeys) -> None:
        self._database = database
        self._keys = keys

    @override
    async def named(self, tenant: str, names: Iterable[str]) -> list[Secret]:
        wanted = list(names)
        rows = await self._database.fetch_all(
            "SELECT name, value FROM tenant_secrets WHERE tenant = ?", (tenant,)
        )
        values = {row["name"]: row["value"] for row in rows}
        if missing := [name for name in wanted if name not in values]:
            raise UnknownSecretError(
                f"there is no secret {', '.join(missing)} here; send it with the job (`ci submit "
                f"--secret {missing[0]}`), or ask the operator to store it (`ci-admin secret set`)"
            )
        return [Secret(name, self._decrypted(tenant, name, values[name])) for name in wanted]

    @override
    async def put(
        self, tenant: str, secret: Secret, now: datetime, audit: AuditEntry | None = None
    ) -> bool:
        check_secret(secret)
        try:
            value = self._keys.encrypt(secret.value, _context(tenant, secret.name))
        except OSError as error:
            raise SecretKeyError(f"the key file cannot be made: {error}") from error
        async with self._database.transaction() as connection:
            parameters = (tenant, secret.name)
            known = await connection.execute_fetchall(
                "SELECT 1 FROM tenant_secrets WHERE tenant = ? AND name = ?", parameters
            )
            await connection.execute(
                "INSERT INTO tenant_secrets (tenant, name, value, changed_at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (tenant, name) DO UPDATE "
                "SET value = excluded.value, changed_at = excluded.changed_at",
                (*parameters, value, format_time(now)),
            )
            await insert(connection, audit)
        return not list(known)

    @override
    async def entries(self, tenant: str | None) -> list[TenantSecretEntry]:
        rows = await self._database.fetch_all(
            "SELECT tenant, name, changed_at FROM tenant_secrets "
            "WHERE tenant = coalesce(?, tenant) ORDER BY tenant, name",
            (tenant,),
        )
        return [
            TenantSecretEntry(row["tenant"], row["name"], datetime.fromisoformat(row["changed_at"]))
            for row in rows
        ]

    @override
    async def delete(self, tenant: str, name: str, audit: AuditEntry | None = None) -> bool:
        async with self._database.transaction() as connection:
            deleted = await connection.execute_fetchall(
                "DELETE FROM tenant_secrets WHERE tenant = ? AND name = ? RETURNING name",
                (tenant, name),
            )
            if was_there := bool(list(deleted)):
                await insert(connection, audit)
        return was_there

    def _decrypted(self, tenant: str, name: str, value: bytes) -> bytes:
        try:
            return self._keys.decrypt(value, _context(tenant, name))
        except SecretKeyError as error:
            raise SecretKeyError(f"the secret {name} cannot be used: {error.message}") from error


def _context(tenant: str, name: str) -> str:
    return f"tenant {tenant!r} secret {name}"
