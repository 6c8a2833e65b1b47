"""JSON with one meaning or none; the text of a refusal repeats nothing of what was sent."""

import json
import time
import tracemalloc
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.strict_json import MAX_DEPTH, MAX_VALUES, AmbiguousJsonError, strict_object

NESTED = {"deep": "[" * 50_000, "deep objects": '{"a":' * 50_000}
AMBIGUOUS = {
    "repeated": ('{"a": 1, "a": 2}', "a: duplicate key"),
    "repeated, and the same": ('{"a": 1, "a": 1}', "a: duplicate key"),
    "repeated by an escape": ('{"a": 1, "\\u0061": 2}', "a: duplicate key"),
    "repeated inside": ('{"a": [1, {"b": 1, "b": 2}]}', "a.1.b: duplicate key"),
    "repeated in a repeated": ('{"a": {"b": 1, "b": 2}, "a": 1}', "a: duplicate key"),
    "NaN": ('{"a": NaN}', "a: a number is not finite, or too large"),
    "Infinity": ('{"a": [Infinity]}', "a.0: a number is not finite, or too large"),
    "-Infinity": ('{"a": -Infinity}', "a: a number is not finite, or too large"),
    "overflow": ('{"a": {"b": 1e400}}', "a.b: a number is not finite, or too large"),
    "huge": (f'{{"a": {"9" * 5000}}}', "a: a number is not finite, or too large"),
    "half a pair": ('{"a": "x\\ud800"}', "a: a string has half of a surrogate pair"),
    "the other half": ('{"a": ["\\udfff"]}', "a.0: a string has half of a surrogate pair"),
    "half a pair in a name": ('{"a": {"\\ud800": 1}}', "a: a string has half of"),
    "too deep": (f'{{"a": {"[" * 40}{"]" * 40}}}', "a.0.0.0"),
    "an array": ("[]", "not a JSON object"),
    "a text": ('"a"', "not a JSON object"),
    "null": ("null", "not a JSON object"),
    "nothing": ("", "not JSON"),
    "two": ("{} {}", "not JSON"),
    "a byte order mark": ("\ufeff{}", "not JSON"),
    "a comma too much": ('{"a": 1,}', "not JSON"),
    "quotes of Python": ("{'a': 1}", "not JSON"),
    "a control character": ('{"a": "\n"}', "not JSON"),
    "a leading zero": ('{"a": 01}', "not JSON"),
    **{name: (text, "nested too deeply") for name, text in NESTED.items()},
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_is_refused_and_where(case):
    text, told = AMBIGUOUS[case]
    with pytest.raises(AmbiguousJsonError) as caught:
        strict_object(text.encode())
    assert told in caught.value.located


@pytest.mark.parametrize("content", [b"\xff", b'{"a": "\xc3"}', '{"a": 1}'.encode("utf-16")])
def test_other_encodings(content):
    with pytest.raises(AmbiguousJsonError, match="UTF-8"):
        strict_object(content)


def test_the_text_repeats_nothing_and_a_place_is_short_and_printable():
    name = "hunter2 \x1b[31m" + "x" * 5000
    content = json.dumps({name: 1})[:-1] + f", {json.dumps(name)}: 2}}"
    with pytest.raises(AmbiguousJsonError) as caught:
        strict_object(content.encode())
    assert "hunter2" not in str(caught.value)
    assert "hunter2" in caught.value.located
    assert caught.value.located.isprintable()
    assert len(caught.value.located) < 200


def nested(depth):
    value = {"a": 1}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_the_depth_that_is_allowed():
    assert strict_object(json.dumps(nested(MAX_DEPTH)).encode()) == nested(MAX_DEPTH)
    with pytest.raises(AmbiguousJsonError, match="nested too deeply"):
        strict_object(json.dumps(nested(MAX_DEPTH + 1)).encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_what_has_one_meaning_is_read_as_ever(value):
    content = json.dumps(value, ensure_ascii=False).encode()
    assert strict_object(content) == value == json.loads(content)


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_are_an_object_or_a_refusal(content):
    try:
        found = strict_object(content)
    except AmbiguousJsonError as error:
        found = error
    assert isinstance(found, dict) or found.located.isprintable()


@contextmanager
def traced():
    """A function that gives, afterwards, the most memory that was taken, in bytes."""
    found = []
    tracemalloc.start()
    try:
        yield found.pop
    finally:
        found.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


@pytest.mark.parametrize("value", ["0", "{}", "[]", '{"a": 1}', "[[[]]]", '"x"'])
def test_too_many_values_are_refused_before_they_are_parsed(value):
    content = f'{{"a": [{", ".join([value] * 1_000_000)}]}}'.encode()
    started = time.process_time()
    told = f"it has more than {MAX_VALUES} values"
    with traced() as most, pytest.raises(AmbiguousJsonError, match=told):
        strict_object(content)
    assert time.process_time() - started < 2
    assert most() < 1 << 20


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": 1}', 2),
        ('{"a": [1, 2], "b": {"c": 3}}', 6),
        ('{"a,[{": "\\",[{,", "b": "\\\\", "c": ",,,"}', 4),
        ('{"a": "日本, 語"}', 2),
    ],
)
def test_the_number_of_values_that_is_allowed(text, values):
    assert strict_object(text.encode(), values) == json.loads(text)
    with pytest.raises(AmbiguousJsonError, match=f"it has more than {values - 1} values"):
        strict_object(text.encode(), values - 1)


def test_text_is_not_taken_for_values():
    value = {"a": ",[{" * MAX_VALUES, "b": '",' * MAX_VALUES, "\\": "\\," * MAX_VALUES}
    assert strict_object(json.dumps(value).encode()) == value


@pytest.mark.parametrize("start", ['"', '"\\', "", '{"a": "', '","'])
def test_strings_that_do_not_end_cost_little(start):
    content = (start + '\\",' * 500_000).encode()
    started = time.process_time()
    with pytest.raises(AmbiguousJsonError):
        strict_object(content)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("depth", [1, MAX_DEPTH - 1])
def test_a_wide_document_costs_little(depth):
    """However deep it is: no paths are made where nothing is wrong."""
    wide = json.dumps([0] * 60_000)
    content = json.dumps(nested(depth)).replace("1", wide).encode()
    with traced() as most:
        assert strict_object(content)
    assert most() < 10 * len(content)
