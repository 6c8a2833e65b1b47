"""Labels, as text and from git."""

import pytest

from ci_common.git_facts import GitFacts
from ci_common.labels import read_label

COMMIT = "1234567890abcdef1234567890abcdef12345678"


def test_a_label_is_a_key_and_a_value():
    assert read_label("git.branch=a=b", "=") == ("git.branch", "a=b")
    assert read_label("team/part:x:y", ":") == ("team/part", "x:y")


@pytest.mark.parametrize("text", ["", "a", "=b", "a=", "a b=c", "-a=b", "a=b\n", "a=" + "b" * 256])
def test_other_texts_are_none(text):
    with pytest.raises(ValueError, match=r"label|key|value"):
        read_label(text, "=")


def test_what_git_says_as_labels():
    facts = GitFacts(COMMIT, "main", True, None, "https://git.example.com/a.git")
    assert facts.labels == {
        "git.commit": COMMIT,
        "git.branch": "main",
        "git.dirty": "true",
        "git.remote": "https://git.example.com/a.git",
    }
    assert GitFacts(COMMIT).labels == {"git.commit": COMMIT, "git.dirty": "false"}
