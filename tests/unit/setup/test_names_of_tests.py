"""Names of test modules: pytest imports them by their file names, so that each may exist once."""

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[2]


def test_no_two_modules_have_the_same_name():
    counts = Counter(
        path.name for path in TESTS.rglob("*.py") if path.name not in ("conftest.py", "__init__.py")
    )
    assert [name for name, count in counts.items() if count > 1] == []
