"""An intake over real stores, as doors of any kind call it, without HTTP."""

from ci_common.policy import Policy
from ci_common.ports.audit import AuditQuery
from ci_common.ports.usage import Quotas
from ci_common.principal import Origin, Principal, Role
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.sqlite.audit import SqliteAuditLog
from ci_persistence.sqlite.tenant_secrets import SqliteTenantSecrets
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.limits.traffic import Traffic, TrafficLimits
from ci_server.services.intake import Intake, SubmissionLimits
from ci_server.submission.job_limits import DefaultLimits, LimitCeilings
from ci_server.submission.job_secrets import SecretService
from ci_server.submission.package_check import PackageLimits
from ci_server.submission.request import SubmissionRequest
from support.jobs import NOON
from support.rows import Rows

ANN = Principal("acme", "ann", Role.SUBMITTER, "key 1", origin=Origin("192.0.2.7", "r1"))
VIC = Principal("acme", "vic", Role.VIEWER, "key 2")
TRUE = SubmissionRequest(command=("true",))
PATIENCE = 0.2


class Bell:
    """Port Doorbell."""

    def __init__(self):
        self.rings = 0

    def ring(self):
        self.rings += 1


class Place:
    """An intake, and what is behind it."""

    async def open(self, path):
        self.path = path / "data"
        self.rows = await Rows().open(path / "ci.db")
        self.packages = FilePackageStore(self.path, 0)
        self.keys = SecretKeys(self.path, None)
        self.secrets = FileJobSecrets(self.path, self.keys)
        self.audit = SqliteAuditLog(self.rows.database)
        self.bell = Bell()
        self.intake = self.made()
        return self

    def made(self, quotas=None, **about):
        limits = SubmissionLimits(
            max_upload_bytes=about.get("most", 1 << 20),
            patience_seconds=PATIENCE,
            package=PackageLimits(max_entries=100, max_unpacked_bytes=1 << 20, max_ratio=100),
            defaults=DefaultLimits(100, None, None, 64, 10, 7),
            ceilings=LimitCeilings(priority=5),
            quotas=quotas or Quotas(),
        )
        return Intake(
            self.rows.submissions,
            self.packages,
            self.bell,
            limits,
            Policy(),
            Traffic(TrafficLimits(uploads_per_user=1)),
            lambda: NOON,
            SecretService(SqliteTenantSecrets(self.rows.database, self.keys), self.secrets),
            AuditTrail(self.audit, lambda: NOON),
            about.get("scanner"),
        )

    async def job(self, job_id):
        return await self.rows.submissions.get(job_id)

    async def recorded(self):
        """What the audit log says."""
        entries = await self.audit.entries(AuditQuery())
        return [(entry.action, entry.outcome.value, entry.user, entry.job_id) for entry in entries]

    def left(self):
        """Files of packages, uploads and secrets."""
        found = self.path.rglob("*")
        return [path.name for path in found if path.suffix in (".zip", ".part", ".enc")]

    async def check_nothing_happened(self):
        assert await self.rows.transitions.active() == []
        assert self.left() == []
        assert self.bell.rings == 0


async def pieces(content, size=64):
    """A body."""
    for at in range(0, len(content), size):
        yield content[at : at + size]
