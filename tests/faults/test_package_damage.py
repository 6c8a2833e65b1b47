"""The stored upload of a queued job is damaged."""

import pytest

from support.accepted_jobs import AcceptedJobs, SeededJob
from support.failure_lines import without_failure_line

pytestmark = pytest.mark.docker


def truncate(path, dice):
    content = path.read_bytes()
    path.write_bytes(content[: dice.randrange(len(content))])


def delete(path, dice):
    path.unlink()


def flip(path, dice):
    content = bytearray(path.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


@pytest.mark.fault(
    "package damaged while queued",
    "the stored upload of a queued job is cut short, deleted, or has one bit flipped",
    "`failed`, reason `package_corrupt`, no output; the jobs before and after it complete",
    repeats=1,
)
@pytest.mark.parametrize("damage", [truncate, delete, flip])
def test_package_damage(make_server, settled, dice, damage):
    server = make_server(max_concurrent_jobs=1).start().ready()
    accepted = AcceptedJobs(server)
    accepted.submit(SeededJob(f"{dice.random()}", seconds=1))
    victim = accepted.submit(SeededJob(f"{dice.random()}"))
    accepted.submit(SeededJob(f"{dice.random()}"))
    damage(server.data / "packages" / f"{victim.job_id}.zip", dice)
    rows = settled(accepted, server)
    row = rows.pop(victim.job_id)
    assert (row["status"], row["reason"]) == ("failed", "package_corrupt")
    assert without_failure_line(server.log(victim.job_id), row) == b""
    assert {row["success"] for row in rows.values()} == {True}
