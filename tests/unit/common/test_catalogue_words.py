"""The words that names are compared by, here and in the image of runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_common.catalogue import words
from haystack.catalogue import words as words_of_the_example


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("IFN-\N{GREEK SMALL LETTER BETA}1", ("ifn", "beta", "1")),
        ("CD4\N{SUPERSCRIPT PLUS SIGN} T-Cells", ("cd", "4", "t", "cell")),
        ("PBS, class", ("pbs", "class")),
        ("\N{GREEK CAPITAL LETTER DELTA}9", ("delta", "9")),
        ('"*) OR NEAR(', ("or", "near")),
        ("_-_ + \N{MICROSCOPE}", ()),
    ],
)
def test_words_of_a_text(text, found):
    assert words(text) == found


@given(st.text())
def test_server_and_example_find_the_same_words(text):
    assert words(text) == words_of_the_example(text)
