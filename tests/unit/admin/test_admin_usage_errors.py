"""What `ci-admin` says about values that it does not take."""

import pytest
from typer.testing import CliRunner

from ci_admin.cli import app


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("key", "create", "--role", "boss"), "'--role': 'boss' is not one of 'admin', "),
        (("webhook", "deliveries", "--state", "x"), "'--state': 'x' is not one of 'pending', "),
        (("audit", "--limit", "0"), "'--limit': Input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(words, told):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert f"Invalid value for {told}" in done.stderr
