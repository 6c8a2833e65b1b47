"""Compares rows, files and workloads of an instance, and looks twice at what seems wrong.

A server may be at work meanwhile: what is being made or removed at the moment of the first look
is in order at the second one.
"""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ci_admin.diagnosis import Code, Finding, World, diagnose
from ci_admin.instance import Instance
from ci_admin.scanner_check import examine_scanner
from ci_common.errors import EngineUnavailableError
from ci_common.job import format_time, utc_now
from ci_common.ports.unenforced_limits import Unenforced
from ci_common.ports.workloads import Executor, Leftover
from ci_persistence.backup.inventory import Inventory, StoredFiles
from ci_persistence.backup.restore import KEPT_PREFIX, STAGE_PREFIX
from ci_persistence.database.integrity import find_damage
from ci_persistence.files.data_directory import MARKER
from ci_persistence.files.durable import untouched
from ci_persistence.files.key_files import PART
from ci_persistence.files.secret_keys import KEY_FILE as SECRET_KEY_FILE
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.files.signed_url_keys import NAME as SIGNED_URL_KEY_FILE
from ci_persistence.files.token_key import NAME as TOKEN_KEY_FILE
from ci_persistence.sqlite.event_check import check_events
from ci_persistence.sqlite.lease import end_of_lease
from ci_persistence.sqlite.subscriptions import unusable_keys
from ci_persistence.sqlite.totals_check import totals_are_wrong

YOUNG_SECONDS = 3600.0
"""While a server runs, files that are younger may be on their way to a row."""

_ENGINE_SECONDS = 15.0
_SETTLE_SECONDS = 6.0
"""A controller that lives removes workloads of ended jobs within a tick or two."""


@dataclass(slots=True)
class Examination:
    """What was found."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What an operator may want to know, and is not wrong."""
    jobs: int = 0
    """Rows that were compared."""
    leftovers: dict[str, Leftover] = field(default_factory=dict)
    """By the subject of their findings."""


class Examiner:
    """Examines one instance. Nothing is changed."""

    def __init__(self, instance: Instance, executor: Executor, *, deep: bool = False) -> None:
        self.instance = instance
        self.executor = executor
        self._inventory = Inventory(instance.database, instance.stores, deep=deep)
        self._packages: frozenset[str] = frozenset()
        """The jobs with packages that are old enough to have rows."""
        self._secrets: frozenset[str] = frozenset()
        """The same with secrets."""
        self._with_workload: frozenset[str] | None = frozenset()
        """The jobs with workloads at the first look; `None` when the engine did not tell."""
        self._age = 0.0 if instance.is_alone else YOUNG_SECONDS
        self._controller_lives = False

    async def examine(self) -> Examination:
        """Look at everything."""
        found = Examination()
        self._controller_lives = await self._lease(found)
        await self._rows(found)
        self._disk(found)
        self._staging(found)
        scanner = await examine_scanner(self.instance.settings)
        found.findings += scanner.findings
        found.notes += scanner.notes
        # Files and workloads before rows: what is seen here has its row by the time of those.
        files = self._inventory.files(self._age)
        self._packages, self._secrets = files.packages, files.secrets
        self._with_workload = await self._workloads(found)
        suspects = await self._compare(files, found)
        for job_id in suspects:
            found.findings += await self.look_again(job_id)
        return found

    async def look_again(self, job_id: str) -> list[Finding]:
        """What is wrong with one job at this moment."""
        workloads = await self._settled_workload(job_id)
        return diagnose(await self._inventory.job(job_id), self._world(workloads))

    async def _compare(self, files: StoredFiles, found: Examination) -> list[str]:
        """The jobs with which something seems wrong."""
        workloads = self._with_workload
        world = self._world(workloads)
        unseen = set(files.job_ids | (workloads or frozenset()))
        suspects = []
        lost = 0
        async for job in self._inventory.jobs():
            unseen.discard(job.job_id)
            found.jobs += 1
            if diagnose(job, world):
                suspects.append(job.job_id)
            if workloads is not None and job.row is not None and job.row.status == "running":
                lost += job.job_id not in workloads
        if lost and not self._controller_lives:
            found.notes.append(
                f"{lost} running jobs have no container or process; the next controller retries "
                "those that have `retries`, and records the others as lost"
            )
        return suspects + sorted(unseen)

    def _world(self, workloads: frozenset[str] | None) -> World:
        return World(utc_now(), workloads, self._packages, self._controller_lives, self._secrets)

    # ------------------------------------------------------------------ the engine

    async def _workloads(self, found: Examination) -> frozenset[str] | None:
        try:
            async with asyncio.timeout(_ENGINE_SECONDS):
                workloads = await self.executor.list_workloads()
                await self._engine_leftovers(found)
                found.notes += notes_of(await self.executor.check())
        except (EngineUnavailableError, TimeoutError) as error:
            why = str(error) or "the engine did not respond in time"
            message = f"{why}. Containers were not compared with jobs"
            found.findings.append(Finding(Code.ENGINE_UNREACHABLE, message))
            return None
        return frozenset(workload.job_id for workload in workloads)

    async def _engine_leftovers(self, found: Examination) -> None:
        seconds = self.instance.settings.setup_timeout_seconds
        for leftover in await self.executor.leftovers(0 if self.instance.is_alone else seconds):
            message = f"abandoned {leftover.kind}: {leftover.name}"
            found.findings.append(Finding(Code.ENGINE_LEFTOVER, message, "", leftover.id))
            found.leftovers[leftover.id] = leftover

    async def _settled_workload(self, job_id: str) -> frozenset[str] | None:
        """Whether the job has a workload, after a controller had time to remove it."""
        if self._with_workload is None or job_id not in self._with_workload:
            return self._with_workload
        deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
        while True:
            try:
                workload = await self.executor.inspect(job_id)
            except EngineUnavailableError:
                return None
            if workload is None:
                return frozenset()
            row = (await self._inventory.job(job_id)).row
            is_live = row is not None and row.ended_at is None
            late = asyncio.get_running_loop().time() > deadline
            if is_live or late or not self._controller_lives:
                return frozenset({job_id})
            # It shows on the engine only, which tells nobody here.
            await asyncio.sleep(0.2)

    # ------------------------------------------------------------------ the rest

    async def _lease(self, found: Examination) -> bool:
        """Whether a controller is alive."""
        ends = await end_of_lease(self.instance.database)
        if ends is None:
            return False
        if ends >= (format_time(utc_now()) or ""):
            return True
        message = f"a controller died without releasing its lease, which expired {ends}"
        found.findings.append(Finding(Code.LEASE_STALE, message))
        return False

    async def _rows(self, found: Examination) -> None:
        path = self.instance.database.path
        problems = await asyncio.to_thread(find_damage, path, thorough=True)
        found.findings += [Finding(Code.DATABASE_DAMAGED, problem) for problem in problems or ()]
        if await totals_are_wrong(self.instance.database):
            message = "stored totals are wrong, so retention and quotas would miscount"
            found.findings.append(Finding(Code.TOTALS_WRONG, message))
        if faults := await check_events(self.instance.database):
            message = (
                f"job events and job rows disagree ({faults.missing} events missing, "
                f"{faults.surplus} surplus): feeds may show a wrong state"
            )
            found.findings.append(Finding(Code.EVENTS_WRONG, message))
        await self._signing_secrets(found)

    async def _signing_secrets(self, found: Examination) -> None:
        settings = self.instance.settings
        keys = SecretKeys(settings.data_path, settings.secret_keys)
        for tenant, owner, why in await unusable_keys(self.instance.database, keys):
            message = (
                f"the signing secret of webhook {owner} of the tenant {tenant} cannot be used: "
                f"{why}; or replace it: `ci-admin webhook rotate {owner} --tenant {tenant}`"
            )
            found.findings.append(Finding(Code.SIGNING_SECRET_UNUSABLE, message, "", owner))

    def _disk(self, found: Examination) -> None:
        settings = self.instance.settings
        free = shutil.disk_usage(settings.data_path).free >> 20
        if free < settings.min_free_disk_mb:
            message = (
                f"{free} MiB are free for {settings.data_path}, below the floor of "
                f"{settings.min_free_disk_mb} MiB: uploads are refused"
            )
            found.findings.append(Finding(Code.DISK_LOW, message))

    def _staging(self, found: Examination) -> None:
        for path in leftover_files(self.instance, self._age):
            message = f"{path} was left behind by an interrupted operation"
            found.findings.append(Finding(Code.STAGING_LEFTOVER, message, "", str(path)))
        for path in self.instance.settings.data_path.glob(f"{KEPT_PREFIX}*"):
            found.notes.append(
                f"{path} is the state from before a restore; delete it when you no longer need it"
            )


def notes_of(unenforced: Sequence[Unenforced]) -> list[str]:
    """One for each cause."""
    limits: dict[str, list[str]] = {}
    for one in unenforced:
        limits.setdefault(one.why, []).append(one.limit.value)
    return [f"not enforced: {', '.join(names)}: {why}" for why, names in limits.items()]


def leftover_files(instance: Instance, age_seconds: float) -> Iterator[Path]:
    """Uploads, artifacts, secrets, keys and restores that never came to their end."""
    yield from instance.stores.packages.staged(age_seconds)
    yield from instance.stores.artifacts.staged(age_seconds)
    yield from instance.stores.secrets.staged(age_seconds)
    for name in (SECRET_KEY_FILE, TOKEN_KEY_FILE, SIGNED_URL_KEY_FILE, MARKER):
        yield from untouched(instance.settings.data_path, f"{name}.*{PART}", age_seconds)
    # A restore has the database alone, and we have it open: so none is going on.
    yield from instance.settings.data_path.glob(f"{STAGE_PREFIX}*")
