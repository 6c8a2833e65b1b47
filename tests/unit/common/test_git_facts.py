"""What git says of a work tree."""

import pytest

from ci_common.git_facts import GitFacts

COMMIT = "1234567890abcdef1234567890abcdef12345678"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"commit": "main"}, "commit"),
        ({"commit": COMMIT.upper()}, "commit"),
        ({"commit": COMMIT, "branch": ""}, "branch"),
        ({"commit": COMMIT, "branch": "a\nb"}, "branch"),
        ({"commit": COMMIT, "describe": "x" * 256}, "describe"),
        ({"commit": COMMIT, "describe": "\0"}, "describe"),
    ],
)
def test_what_git_would_not_say_is_refused(fields, named):
    with pytest.raises(ValueError, match=f"^{named}"):
        GitFacts(**fields)
