"""What is masked is a function of the whole output, however it arrives and wherever one begins."""

import base64
import html
import json
import re
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.secret import Secret
from ci_controller.output.secret_forms import Pattern, patterns
from ci_controller.output.secret_masker import Masker, PatternSet, mask

TOKEN = b"s3cr3t/T0ken+with=special &<chars>"
PEM = (
    b"-----BEGIN PRIVATE KEY-----\n"
    b"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgbWVycnkgY2hyaXN0\n"
    b"bWFzIGFuZCBhIGhhcHB5IG5ldyB5ZWFyhRANCAASo\n"
    b"Ab=\n"
    b"-----END PRIVATE KEY-----\n"
)


def naively(known: list[Pattern], text: bytes) -> bytes:
    """The definition: every byte of every occurrence that is the secret's, but for line ends."""
    masked = bytearray(text)
    for pattern, before, after in known:
        at = text.find(pattern)
        while at >= 0:
            for place in range(at + before, at + len(pattern) - after):
                if text[place] not in b"\r\n":
                    masked[place] = ord("*")
            at = text.find(pattern, at + 1)
    return bytes(masked)


def in_pieces(known: PatternSet, text: bytes, cuts: list[int]) -> bytes:
    masker = Masker(known)
    places = sorted(min(cut, len(text)) for cut in cuts)
    masked = b""
    for begin, end in zip([0, *places], [*places, len(text)], strict=True):
        masked += masker.feed(text[begin:end])
    return masked + masker.finish()


def known_of(*values: bytes) -> PatternSet:
    return PatternSet(patterns([Secret(f"S{at}", value) for at, value in enumerate(values)]))


# Few letters, so that patterns overlap themselves and each other.
words = st.binary(min_size=8, max_size=70).map(lambda raw: bytes(b"ab\n"[one % 3] for one in raw))
edges = st.sampled_from([(0, 0), (0, 0), (3, 0), (0, 3)])
pattern_lists = st.lists(
    st.builds(lambda word, edge: Pattern(word, *edge), words, edges), min_size=1, max_size=6
)


@st.composite
def texts(draw: st.DrawFn) -> tuple[list[Pattern], bytes]:
    known = draw(pattern_lists)
    contents = [pattern.content for pattern in known]
    parts = st.sampled_from(contents).flatmap(
        lambda word: st.tuples(st.integers(0, len(word)), st.integers(0, len(word))).map(
            lambda cut: word[min(cut) : max(cut)]
        )
    )
    whole = st.sampled_from([*contents, b"a", b"b", b"\n", b"x"])
    return known, b"".join(draw(st.lists(parts | whole, max_size=30)))


@settings(max_examples=300, deadline=None)
@given(texts(), st.lists(st.integers(0, 600), max_size=12))
def test_any_cut_masks_what_the_definition_masks(
    case: tuple[list[Pattern], bytes], cuts: list[int]
) -> None:
    known, text = case
    assert in_pieces(PatternSet(known), text, cuts) == naively(known, text)


@settings(max_examples=100, deadline=None)
@given(texts())
def test_byte_by_byte(case: tuple[list[Pattern], bytes]) -> None:
    known, text = case
    assert in_pieces(PatternSet(known), text, list(range(len(text)))) == naively(known, text)


@settings(max_examples=60, deadline=None)
@given(texts())
def test_resumed_at_any_offset(case: tuple[list[Pattern], bytes]) -> None:
    """Whoever begins `context` bytes earlier masks the same from there on."""
    known, text = case
    prepared = PatternSet(known)
    whole = naively(known, text)
    for offset in range(len(text) + 1):
        start = max(offset - prepared.context, 0)
        assert mask(prepared, text[start:])[offset - start :] == whole[offset:]


@settings(max_examples=100, deadline=None)
@given(texts(), st.integers(0, 600))
def test_nothing_is_held_back_longer_than_necessary(
    case: tuple[list[Pattern], bytes], cut: int
) -> None:
    """What is out is certain, and what is next depends on what comes."""
    known, text = case
    text = text[:cut]
    masker = Masker(PatternSet(known))
    out = masker.feed(text)
    if len(out) == len(text):
        return
    undecided = [
        at + one.before
        for at in range(len(text))
        for one in known
        if len(one.content) > len(text) - at and one.content.startswith(text[at:])
    ]
    assert min(undecided) <= len(out)
    assert naively(known, text)[len(out)] == text[len(out)]  # not masked yet, but may be


@pytest.mark.parametrize("value", [TOKEN, PEM, b"12345678", b"a" * 200])
def test_every_secret_split_at_every_boundary(value: bytes) -> None:
    known = known_of(value)
    text = b"before " + value + b" after\n"
    whole = mask(known, text)
    assert len(whole) == len(text)
    for line in value.split():
        assert line not in whole
    for cut in range(len(text) + 1):
        assert in_pieces(known, text, [cut]) == whole
        assert in_pieces(known, text, [cut, cut + 1]) == whole


def hidden(known: PatternSet, text: bytes, shown: bytes = b"") -> None:
    """Everything is masked, but for line ends and what is `shown`."""
    left = mask(known, text).replace(b"*", b"").replace(b"\r", b"").replace(b"\n", b"")
    assert left == shown, left


@pytest.mark.parametrize("value", [TOKEN, PEM])
def test_forms_of_a_value(value: bytes) -> None:
    known, text = known_of(value), value.decode()
    hidden(known, value)
    hidden(known, value.hex().encode())
    hidden(known, value.hex().upper().encode())
    hidden(known, json.dumps(text)[1:-1].encode())
    hidden(known, quote(text, safe="").encode())
    hidden(known, re.sub("%..", lambda it: it[0].lower(), quote(text, safe="")).encode())
    hidden(known, repr(text)[1:-1].encode())
    hidden(known, quote_plus(text).encode())
    hidden(known, html.escape(text).encode())
    hidden(known, base64.b64encode(value))
    hidden(known, base64.b64encode(value).rstrip(b"="))
    hidden(known, base64.urlsafe_b64encode(value))
    hidden(known, base64.encodebytes(value))


@pytest.mark.parametrize("length", [40, 100, 400])
def test_what_is_left_of_a_value_that_was_shortened(length: int) -> None:
    value = bytes(ord("A") + (at * 7 + at // 26) % 26 for at in range(length))
    known = known_of(value)
    for cut in range(5, min(length - 1, 250)):
        left = mask(known, b"'" + value[:cut] + b"..." + value[-cut:] + b"'")
        assert left == b"'" + b"*" * cut + b"..." + b"*" * cut + b"'"


def test_lines_of_a_value_on_their_own() -> None:
    known = known_of(PEM)
    for line in PEM.splitlines():
        if len(line) >= 8:
            hidden(known, line)
    assert mask(known, b"Ab=\n") == b"Ab=\n"  # too short to be looked for alone
    hidden(known, PEM.replace(b"\n", b"\r\n"))  # as a terminal writes it
    hidden(known, PEM.replace(b"\n", b"\n\r"), b"Ab=")
    assert mask(known, PEM).count(b"\n") == PEM.count(b"\n")


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("after", range(4))
def test_base64_of_more_than_the_value(before: int, after: int) -> None:
    """What shares a character with its neighbours stays: at most one at each side, and those
    that are not the value's at all.
    """
    known = known_of(TOKEN)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(b"u" * before + TOKEN + b"v" * after)
        masked = mask(known, encoded)
        first = -(-before * 4 // 3)
        last = (before + len(TOKEN)) * 4 // 3
        assert set(masked[first + (before % 3 > 0) : last - 1]) == {ord("*")}
        assert len(masked) == len(encoded)


def test_other_text_is_untouched() -> None:
    known = known_of(TOKEN, PEM)
    text = bytes(range(256)) * 50 + b"ordinary words, and MIGHAgEA in a text\n" * 100
    assert mask(known, text) == text


def test_nearly_a_secret_is_none() -> None:
    known = known_of(b"correct horse battery")
    for text in (b"correct horse batterY", b"orrect horse battery", b"correct horse batter"):
        assert mask(known, text) == text


def test_one_secret_in_another() -> None:
    known = known_of(b"inside-secret", b"around inside-secret around")
    assert mask(known, b"around inside-secret around") == b"*" * 27
    assert mask(known, b"around inside-secret other") == b"around ************* other"


def test_what_cannot_be_a_secret_comes_at_once() -> None:
    masker = Masker(known_of(b"correct horse battery"))
    assert masker.feed(b"Continue? [y/n] ") == b"Continue? [y/n] "
    for _ in range(5):
        assert masker.feed(b".") == b"."  # as test runners show their progress
    assert masker.feed(b"a cor") == b"a "
    assert masker.feed(b"n") == b"corn"
    assert masker.feed(b" correct horse battery") == b" *********************"


def test_large_outputs_are_looked_through_in_blocks() -> None:
    secret = b"a secret of thirty-two letters.."
    known = known_of(secret)
    for shift in range(-33, 2):
        text = bytearray(b"x" * ((1 << 18) + 100))
        at = (1 << 17) + shift
        text[at : at + 32] = secret
        assert mask(known, bytes(text)) == bytes(text).replace(secret, b"*" * 32)


def test_hostile_output_costs_no_more_than_its_length() -> None:
    """Quadratic behaviour would take an hour for this, not seconds."""
    known = known_of(b"a" * 8, b"a" * 30_000 + b"b", (b"a" * 63 + b"b") * 500)
    masker = Masker(known)
    began = time.monotonic()
    out = sum(len(masker.feed(b"a" * (1 << 18))) for _ in range(8))
    assert out + len(masker.finish()) == 8 << 18
    assert time.monotonic() - began < 60


def test_binary_values() -> None:
    value = bytes(range(128, 256))
    known = known_of(value)
    hidden(known, value)
    hidden(known, base64.b64encode(value))
    hidden(known, quote(value).encode())


def test_patterns_too_short_are_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        PatternSet([Pattern(b"1234567")])
