"""Labels of jobs: keys and values that people look for."""

import re
from collections.abc import Mapping

MOST_LABELS = 20
KEY_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,62}$"
LONGEST_VALUE = 255
OF_A_LABEL = (
    "a key of at most 63 letters, digits, and _ . - /, and a value of 1 to 255 printable characters"
)


def label_problem(key: str, value: str) -> str | None:
    """Why this is no label, in words."""
    if not re.fullmatch(KEY_PATTERN, key):
        return f"the key {key[:80]!r} must have at most 63 letters, digits, and _ . - /"
    if not 0 < len(value) <= LONGEST_VALUE or not value.isprintable():
        return f"the value of {key} must be 1 to {LONGEST_VALUE} printable characters"
    return None


def labels_problem(labels: Mapping[str, str]) -> str | None:
    """What is wrong with the labels of a job, in words."""
    if len(labels) > MOST_LABELS:
        return f"there are {len(labels)}; a job has at most {MOST_LABELS}"
    problems = (label_problem(key, value) for key, value in labels.items())
    return next((problem for problem in problems if problem), None)


def read_label(text: str, separator: str) -> tuple[str, str]:
    """Key and value of `key=value`, or with another separator. Raises ValueError, with a message
    for people.
    """
    key, found, value = text.partition(separator)
    if not found:
        raise ValueError(f"{text[:80]!r} is not a label; write it as key{separator}value")
    if problem := label_problem(key, value):
        raise ValueError(problem)
    return key, value
