"""`ci-admin doctor`: examine, repair on request, and report."""

import asyncio
import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from ci_admin.diagnosis import Code, Finding
from ci_admin.examination import Examination, Examiner
from ci_admin.instance import Instance, opened, require_database
from ci_admin.repair import Repairer
from ci_common.settings import Settings
from ci_controller.executors.registry import build_executor
from ci_persistence.database.errors import explain, is_damage
from ci_persistence.database.integrity import find_damage


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found and did."""

    findings: tuple[Finding, ...]
    fixed: frozenset[Finding]
    notes: tuple[str, ...]
    jobs: int

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong any more."""
        return self.fixed.issuperset(self.findings)

    def to_json(self) -> str:
        """For programs. Keys are only ever added."""
        findings = [self._finding(finding) for finding in self.findings]
        return json.dumps(
            {
                "healthy": self.is_healthy,
                "jobs": self.jobs,
                "findings": findings,
                "notes": self.notes,
            },
            indent=2,
        )

    def lines(self) -> list[str]:
        """For people."""
        lines = [self._line(finding) for finding in self.findings]
        lines += [f"note: {note}" for note in self.notes]
        wrong = sum(finding not in self.fixed for finding in self.findings)
        repairable = sum(
            finding.is_repairable and finding not in self.fixed for finding in self.findings
        )
        summary = f"{self.jobs} jobs: " + (f"{wrong} problems" if wrong else "healthy")
        if self.fixed:
            summary += f", {len(self.fixed)} fixed"
        if repairable:
            summary += f"; --fix repairs {repairable} of them"
        return [*lines, summary]

    def _finding(self, finding: Finding) -> dict[str, Any]:
        return {
            "code": finding.code.value,
            "job_id": finding.job_id or None,
            "message": finding.message,
            "repairable": finding.is_repairable,
            "fixed": finding in self.fixed,
        }

    def _line(self, finding: Finding) -> str:
        state = "fixed" if finding in self.fixed else "problem"
        about = f" job {finding.job_id}:" if finding.job_id else ""
        return f"{state}: {finding.code.value}:{about} {finding.message}"


async def consult(settings: Settings, *, fix: bool, deep: bool) -> Report:
    """Examine an instance, and repair it with `fix`. Raises DatabaseError when it cannot be."""
    require_database(settings)
    if damage := await asyncio.to_thread(_damage, settings):
        return Report(tuple(damage), frozenset(), (), 0)
    async with opened(settings, keep_alone=fix) as instance:
        return await _examine(instance, fix=fix, deep=deep)


async def _examine(instance: Instance, *, fix: bool, deep: bool) -> Report:
    executor = build_executor(instance.settings, instance.database.instance_id)
    try:
        examiner = Examiner(instance, executor, deep=deep)
        examination = await examiner.examine()
        fixed = await _fix(examiner, examination) if fix else frozenset()
    finally:
        await executor.close()
    return Report(tuple(examination.findings), fixed, tuple(examination.notes), examination.jobs)


async def _fix(examiner: Examiner, examination: Examination) -> frozenset[Finding]:
    repairer = Repairer(examiner, examination)
    fixed = [finding for finding in examination.findings if await repairer.repair(finding)]
    return frozenset(fixed)


def _damage(settings: Settings) -> list[Finding]:
    """What keeps the database from being opened at all."""
    try:
        problems = find_damage(settings.db_path, thorough=False)
    except sqlite3.Error as error:
        refusal = explain(settings.db_path, error)
        if not is_damage(error):
            raise refusal from error
        return [Finding(Code.DATABASE_DAMAGED, refusal.message)]
    return [Finding(Code.DATABASE_DAMAGED, problem) for problem in problems or ()]
