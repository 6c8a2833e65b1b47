"""Puts right what can be without losing anything; each finding is looked at again just before."""

import shutil
from pathlib import Path

from ci_admin.diagnosis import Code, Finding
from ci_admin.examination import Examination, Examiner
from ci_common.errors import RunnerError
from ci_common.job import utc_now
from ci_persistence.sqlite.event_check import repair_events
from ci_persistence.sqlite.kept_packages import forget_kept_package
from ci_persistence.sqlite.lease import release_ended_lease
from ci_persistence.sqlite.totals_check import repair_totals


class Repairer:
    """Repairs what an examiner found."""

    def __init__(self, examiner: Examiner, examination: Examination) -> None:
        self._examiner = examiner
        self._instance = examiner.instance
        self._leftovers = examination.leftovers

    async def repair(self, finding: Finding) -> bool:
        """Repair one; False when that cannot be done, or failed. Safe to repeat."""
        if not finding.is_repairable:
            return False
        if finding.job_id and finding not in await self._examiner.look_again(finding.job_id):
            return True  # it came in order by itself
        try:
            await self._repair(finding)
        except (RunnerError, OSError):
            return False
        return True

    async def _repair(self, finding: Finding) -> None:
        stores = self._instance.stores
        match finding.code:
            case Code.PACKAGE_ORPHAN:
                stores.packages.delete(finding.job_id)
            case Code.KEPT_PACKAGE_LOST:
                await forget_kept_package(self._instance.database, finding.job_id)
                stores.packages.delete(finding.job_id)
            case Code.SECRETS_ORPHAN:
                stores.secrets.forget(finding.job_id)
            case Code.LOG_ORPHAN:
                stores.logs.delete(finding.job_id)
            case Code.ARTIFACTS_ORPHAN:
                stores.artifacts.delete(finding.job_id)
            case Code.WORKLOAD_ORPHAN:
                await self._examiner.executor.remove(finding.job_id)
            case Code.STAGING_LEFTOVER:
                _remove(Path(finding.subject))
            case Code.ENGINE_LEFTOVER:
                await self._examiner.executor.remove_leftover(self._leftovers[finding.subject])
            case Code.LEASE_STALE:
                await release_ended_lease(self._instance.database, utc_now())
            case Code.TOTALS_WRONG:
                await repair_totals(self._instance.database)
            case Code.EVENTS_WRONG:
                await repair_events(self._instance.database)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
