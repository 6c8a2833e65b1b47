"""Tokens never reach the server's log, however they are written."""

import logging
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_common.principal import LOCAL_PRINCIPAL
from ci_server.access.auth.stream_tokens import StreamTokens
from ci_server.telemetry.log_output import ScrubbingFormatter, without_tokens

SECRET = "s3cr3t-_.value"


@pytest.mark.parametrize(
    "text",
    [
        f"?token={SECRET}",
        f"?token={SECRET}&offset=7",
        f"?offset=7&token={SECRET}",
        f"?TOKEN={SECRET}",
        f"?ToKeN={SECRET}",
        f"?%74%6F%6b%45n={SECRET}",
        f"?tok%65n={SECRET}",
        f"?next=%2Fjobs%3Ftoken%3D{SECRET}",
        f"?next=%252Fjobs%253Ftoken%253D{SECRET}",
        f"?access_token={SECRET}",
        f"?token={SECRET}?token={SECRET}",
        f"?token=token={SECRET}",
    ],
)
def test_however_the_parameter_is_written(text):
    line = f'127.0.0.1:5 - "GET /jobs/1/stream{text} HTTP/1.1" 200'
    scrubbed = without_tokens(line)
    assert "s3cr3t" not in scrubbed
    assert scrubbed.endswith(' HTTP/1.1" 200')
    assert "token=***" in scrubbed
    assert ("offset=7" in text) == ("offset=7" in scrubbed)


@given(st.lists(st.tuples(st.sampled_from("token"), st.sampled_from(range(4))), min_size=0))
def test_every_spelling_that_the_server_understands(spelling):
    forms = [str, str.upper, lambda c: f"%{ord(c):02x}", lambda c: f"%{ord(c):02X}"]
    choices = dict(spelling)
    name = "".join(forms[choices.get(character, 0)](character) for character in "token")
    assert SECRET not in without_tokens(f"GET /x?a=b&{name}={SECRET}&c=d")


@pytest.mark.parametrize(
    "text",
    [
        f"?expires=7&sig={SECRET}",
        f"?sig={SECRET}&expires=7",
        f"?SIG={SECRET}&expires=7",
        f"?expires=7&%73%49g={SECRET}",
        f"?expires=7&next=%2Fartifacts%3Fsig%3D{SECRET}",
        f"?expires=7&next=%2Fartifacts%3Fa%26sig%3D{SECRET}",
        f"?expires=7&next=%252Fartifacts%253Fa%2526sig%253D{SECRET}",
    ],
)
def test_the_signature_of_a_url(text):
    line = f'127.0.0.1:5 - "GET /artifacts/1/a{text} HTTP/1.1" 200'
    scrubbed = without_tokens(line)
    assert "s3cr3t" not in scrubbed
    assert "expires=7" in scrubbed
    assert scrubbed.endswith(' HTTP/1.1" 200')


def test_words_that_end_like_a_signature():
    line = "?design=7 big-sig=7 sigma=7 sig:7"
    assert without_tokens(line) == line


def test_a_token_alone():
    token = StreamTokens(b"k" * 32, 60, lambda: datetime.now(UTC)).issue(LOCAL_PRINCIPAL, "j")
    scrubbed = without_tokens(f"something about {token.token}, and more")
    assert scrubbed == "something about ***, and more"


def test_other_lines_stay_as_they_are():
    line = '127.0.0.1:5 - "GET /jobs/1/stream?offset=7 HTTP/1.1" 200; tokens: 7'
    assert without_tokens(line) == line


def record(message, *arguments, **options):
    return logging.LogRecord("x", logging.INFO, "f", 1, message, arguments, None, **options)


def test_arguments_and_tracebacks_are_scrubbed():
    formatter = ScrubbingFormatter("%(message)s")
    assert SECRET not in formatter.format(record('%s - "%s"', "1.2.3.4", f"/x?token={SECRET}"))
    try:
        raise ValueError(f"GET /x?token={SECRET}")
    except ValueError:
        failed = record("failed")
        failed.exc_info = sys.exc_info()
    told = formatter.format(failed)
    assert "ValueError: GET /x?token=***" in told
    assert SECRET not in told


def test_a_long_line_takes_no_time():
    without_tokens("token" * 100_000)
    without_tokens("%2525" * 100_000)
    without_tokens("st1." * 100_000)


def test_nobody_else_writes_lines_or_to_the_terminal():
    formatter = ScrubbingFormatter("INFO %(message)s")
    record = logging.LogRecord(
        "x", 20, "x", 1, "job %s", ("\x1b]0;x\x07\nINFO all is well\r\x9b",), None
    )
    assert formatter.format(record) == "INFO job \\x1b]0;x\\x07\n    INFO all is well\\x0d\\x9b"
