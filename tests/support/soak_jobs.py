"""A soak's jobs: what is submitted, and what must come of it. Nothing here asks the product."""

import base64
import json
import random
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from support import soak_shapes
from support.archives import zip_bytes

_SHAPES = Path(soak_shapes.__file__)
_MODULES = {
    name: _SHAPES.with_name(name).read_bytes() for name in ("soak_shapes.py", "soak_work.py")
}
_MARKER = re.compile(rb"\n\[\.\.\. (\d+) bytes [^\n]*\]\n")
_MOST_TAIL_BYTES = 8 << 20
_CUT_AT_LINE_BYTES = 64 << 10


@dataclass
class SoakJob:
    """One job: its number in the soak, its shape, and the seed of its plan."""

    number: int
    shape: str
    seed: str

    def __str__(self):
        return f"job {self.number} ({self.shape}, seed {self.seed})"

    @cached_property
    def plan(self):
        return soak_shapes.plan(self.shape, self.seed)

    @cached_property
    def written(self):
        """What its output is in the log, when nothing of it is too much."""
        return masked(self.plan.output, self.plan.secrets.values())

    def dice(self, name):
        """Random choices beside the plan."""
        return random.Random(f"{self.seed}:{name}")

    @property
    def form(self):
        """The parts of its submission, as keyword arguments for httpx."""
        parts = {"file": ("project.zip", self._project(), "application/zip")}
        values = {
            name: {"value": base64.b64encode(value).decode()}
            for name, value in self.plan.secrets.items()
        }
        return {"files": parts, "data": {"secrets": json.dumps(values)} if values else None}

    def _project(self):
        plan = self.plan
        command = plan.command or ["python", "soak_work.py", self.shape, self.seed]
        table = {"command": command, "timeout": "5m", "grace": "1s"}
        if plan.log_mb is not None:
            table["log"] = plan.log_mb
        rows = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
        files = _MODULES
        if plan.command:
            files = {f"{number}.bin": step.content for number, step in enumerate(plan.steps)}
        return zip_bytes({"ci.toml": f"[jobs.test]\n{rows}", **files})

    def check(self, row, log):
        """Hold a finished job to its plan: the row, and the stored log."""
        dropped = self._check_log(log)
        expected = {
            "status": "completed",
            "success": self.plan.code == 0,
            "exit_code": self.plan.code,
            "reason": "log_limit" if dropped else "exit",
            "log_size": len(log),
            "log_dropped": dropped,
            "attempt": 1,
            "secrets": sorted(self.plan.secrets),
        }
        found = {name: row[name] for name in expected} | {"secrets": sorted(row["secrets"])}
        assert found == expected, f"the row says {found} instead of {expected}: {row['message']}"

    def _check_log(self, log):
        """Compare the stored log; how many bytes must have been left out of it."""
        cap = None if self.plan.log_mb is None else self.plan.log_mb << 20
        if cap is not None and len(self.written) > cap:
            return check_capped(log, self.written, cap)
        if self.plan.in_order:
            same(log, self.written, "the stored log")
        else:
            same(in_one_order(log), in_one_order(self.written), "the stored log, its lines sorted,")
        return 0


def same(found, expected, what):
    """Compare; tell where they part without printing megabytes."""
    if found == expected:
        return
    pairs = enumerate(zip(found, expected, strict=False))
    shorter = min(len(found), len(expected))
    first = next((at for at, (one, other) in pairs if one != other), shorter)
    around = slice(max(first - 40, 0), first + 40)
    raise AssertionError(
        f"{what} has {len(found)} bytes and should have {len(expected)}; from byte {first} on it "
        f"differs: {found[around]!r} instead of {expected[around]!r}"
    )


def in_one_order(content):
    """The same lines, whatever order they came in."""
    return b"".join(sorted(content.splitlines(keepends=True)))


def masked(content, values):
    """Every byte of a secret, or of one of its forms, as `*`; the ends of lines stay."""
    hidden = bytearray(content)
    for value in values:
        for text in {value, *value.split(b"\n")}:
            for form in soak_shapes.secret_forms(text):
                at = content.find(form)
                while at >= 0:
                    hidden[at : at + len(form)] = re.sub(rb"[^\r\n]", b"*", form)
                    at = content.find(form, at + 1)
    return bytes(hidden)


def check_capped(log, output, cap):
    """Compare a log that is larger than it may be with its head, one line, and its tail.

    Returns how many bytes are to be missing (docs/decisions/0011).
    """
    tail_bytes = min(cap // 4, _MOST_TAIL_BYTES)
    head, start = output[: cap - tail_bytes], len(output) - tail_bytes
    start = output.find(b"\n", start, start + _CUT_AT_LINE_BYTES) + 1 or start
    dropped = start - len(head)
    marker = _MARKER.match(log, len(head))
    assert marker is not None, f"no line says what is missing: {log[len(head) :][:120]!r}"
    assert int(marker[1]) == dropped, f"{marker[1]!r} bytes are said to be missing, not {dropped}"
    same(log, head + marker[0] + output[start:], "the stored log, which is capped,")
    return dropped
