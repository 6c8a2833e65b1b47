"""Jobs by the beginning of their ids."""

import pytest

from ci_common.errors import AmbiguousJobIdError
from ci_common.job import Visibility
from ci_common.policy import JobScope
from ci_persistence.sqlite.submissions import find_query

pytestmark = pytest.mark.anyio

FIRST = "0123abcd-0000-4000-8000-000000000001"
SECOND = "0123abff-0000-4000-8000-000000000002"
THIRD = "ffffffff-ffff-4fff-8fff-ffffffffffff"


@pytest.fixture
async def found(rows):
    await rows.add(job_id=FIRST, tenant="acme", user="ann")
    await rows.add(job_id=SECOND, tenant="acme", user="bob")
    await rows.add(job_id=THIRD, tenant="other", user="ann")

    async def find(prefix, **scope):
        job = await rows.submissions.find(JobScope(**scope), prefix)
        return job and job.job_id

    return find


async def test_a_job_is_found_by_what_its_id_begins_with(found):
    for size in (7, 8, 9, 20, 36):
        assert await found(FIRST[:size]) == FIRST
    assert await found("ffff") == THIRD
    assert await found("0123abff") == SECOND


async def test_several_jobs_are_not_one(found):
    for prefix in ("0123", "0123ab"):
        with pytest.raises(AmbiguousJobIdError, match=f"'{prefix}': {FIRST}, {SECOND}; "):
            await found(prefix)


async def test_only_jobs_of_the_scope_are_looked_at(found):
    assert await found("0123", tenant="acme", user="ann") == FIRST
    assert await found("0123", job_id=SECOND) == SECOND
    assert await found("0123", tenant="other") is None
    assert await found("ffff", tenant="acme") is None
    assert await found(THIRD, tenant="acme") is None


async def test_what_others_may_not_see_is_neither_found_nor_in_the_way(found, rows):
    shared = {"tenant": "acme", "user": "ann", "others": (Visibility.TENANT,)}
    assert await found("0123abff", **shared) == SECOND
    with pytest.raises(AmbiguousJobIdError):
        await found("0123", **shared)
    await rows.database.write("UPDATE jobs SET visibility = 'private'")
    assert await found("0123", **shared) == FIRST
    assert await found("0123abff", **shared) is None


@pytest.mark.parametrize(
    "prefix", ["", "f", "fff", "0123%", "____", "FFFF", "0124", "\0\0\0\0", f"{FIRST}0", "g" * 4]
)
async def test_what_is_no_beginning_of_an_id_finds_nothing(found, prefix):
    assert await found(prefix) is None


@pytest.mark.parametrize(
    "scope",
    [
        JobScope(),
        JobScope("acme"),
        JobScope("acme", "ann"),
        JobScope("acme", "ann", others=(Visibility.TENANT,)),
    ],
)
async def test_the_index_of_ids_is_used(rows, scope):
    sql, parameters = find_query(scope, "0123")
    plan = await rows.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
    (step,) = [row["detail"] for row in plan]
    assert "job_id>? AND job_id<?" in step
