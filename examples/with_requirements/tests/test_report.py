import os

import pytest
from report import describe


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 Bytes"), (2_048, "2.0 KiB"), (5 * 2**20, "5.0 MiB")]
)
def test_sizes_are_for_people(size, text):
    assert describe("a.log", size) == f"a.log: {text}"


def test_the_environment_comes_from_the_table_of_jobs():
    assert os.environ.get("REPORT_STYLE", "plain") == "plain"
