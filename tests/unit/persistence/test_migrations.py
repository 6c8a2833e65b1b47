"""The schema's steps: how they are split, and that released ones are never edited."""

import hashlib
import sqlite3

import pytest

from ci_persistence.database.migrations import MIGRATIONS, statements
from support.instances import ROOT

RELEASED = {
    1: "84903b105ce3ed98638ff234f3d0d946f5d5655ef599feca79c99cb99a988225",
    2: "165a7b1ef80b5c3e06717c55e78d2f507eeacba6940fa59ab0b5f32db3ee2cbf",
    3: "ada1d07e7f83158f055ab2b551aae73d78a995a9c3f72ff3fa948fa1e88e1123",
}
"""SHA-256 of every step that a release contained. A step is added here when it is released, with
a database that it wrote in tests/fixtures/databases; a line that is here never changes."""


@pytest.mark.parametrize(("number", "digest"), RELEASED.items())
def test_a_released_step_is_never_edited(number, digest):
    script = MIGRATIONS[number - 1]
    assert hashlib.sha256(script.encode()).hexdigest() == digest, (
        "databases with this step are in use: undo the edit, and add a new step instead"
    )


def test_every_released_step_has_a_database():
    places = ROOT / "tests" / "fixtures" / "databases"
    assert {path.name for path in places.glob("*.sql")} == {f"schema_{n}.sql" for n in RELEASED}


def test_every_step_is_whole_statements():
    connection = sqlite3.connect(":memory:")
    for script in MIGRATIONS:
        for statement in statements(script):
            connection.execute(statement)
    connection.close()


def test_semicolons_that_end_nothing():
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END;"
    texts = "INSERT INTO a VALUES ('x; y', \"z;\");"
    comment = "-- one; two\nSELECT 1;"
    script = f"\n{trigger}\n  {texts}\n{comment}\n"
    assert list(statements(script)) == [trigger, texts, comment]


def test_nothing_is_no_statement():
    assert list(statements(" \n ")) == []


@pytest.mark.parametrize("script", ["SELECT 1", "SELECT 1; SELECT 'a;", "SELECT 1; SELECT 2"])
def test_a_statement_without_an_end_is_a_defect(script):
    with pytest.raises(ValueError, match="within a statement"):
        list(statements(script))
