"""What may be meant by a name that is not known."""

import pytest

from ci_common.suggestions import closest

OPTIONS = ["--path", "--image", "--timeout", "--priority", "--seed", "--secret", "--secret-file"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("--imge", "--image"),
        ("--imag", "--image"),
        ("--Priority", "--priority"),
        ("--prioritty", "--priority"),
        ("--time", "--timeout"),
        ("--secret_file", "--secret-file"),
        ("--nonsense", None),
        ("--memory", None),
        ("--sec", None),  # two begin so
        ("--", None),
        ("", None),
    ],
)
def test_options(name, meant):
    assert closest(name, OPTIONS) == meant
