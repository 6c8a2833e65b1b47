"""`ci-admin` asks the persistence layer; the tables are that layer's own business."""

import re
from pathlib import Path

import pytest

import ci_admin

_STATEMENT = re.compile(r"[\"'](?:SELECT|INSERT INTO|UPDATE|DELETE FROM) ")


@pytest.mark.parametrize(
    "path", sorted(Path(ci_admin.__path__[0]).glob("*.py")), ids=lambda path: path.name
)
def test_no_module_has_a_statement(path):
    assert _STATEMENT.findall(path.read_text()) == []


def test_a_statement_is_noticed():
    assert _STATEMENT.search('await database.fetch_one("SELECT 1 FROM jobs")')
