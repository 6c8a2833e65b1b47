"""Progress noticed in output on its way into the log, and what that may cost."""

import random
import time

import pytest

from ci_common.ports.workloads import OutputEnd
from ci_common.progress import MAX_LINE_BYTES, Progress, ProgressLines
from ci_common.secret import Secret
from ci_controller.output.log_cap import CappedLog
from ci_controller.output.masking import Masking
from ci_controller.output.progress_tap import TAIL_BYTES, LatestProgress, ProgressTap
from support.memory_log import MemoryLog


def line(current, phase="x"):
    return b'::progress {"current":%d,"total":9,"phase":"%s"}\n' % (current, phase.encode())


LOG = (
    b"before\n" + line(1) + b"::progressive\n::\n\nnot at the start " + line(2)
    + line(3) + line(4) + b"::progress {broken\n\xc3\xa4 after\n::prog\n::progress \n" + line(5)
    + b"::progress {" + b" " * MAX_LINE_BYTES + b"}\n" + line(6).rstrip()
)  # fmt: skip


def oracle(pieces):
    """The last of what the client would show, of each piece that shows some."""
    lines = ProgressLines()
    return [told[-1] for piece in pieces if (told := lines.feed(piece)[1])]


def found(pieces):
    latest = LatestProgress()
    return [told for piece in pieces if (told := latest.feed(piece)) is not None]


def test_the_newest_is_found_wherever_the_output_is_cut():
    for cut in range(len(LOG) + 1):
        pieces = [LOG[:cut], LOG[cut:]]
        assert found(pieces) == oracle(pieces), cut


SCORED = (
    b'::progress {"current":2,"total":9,"phase":"x","iteration":1,"score":6.5,"scores":{"a":6.5}}\n'
)


@pytest.mark.parametrize("noise", [0, 1, 5])
@pytest.mark.parametrize("last", [line(3), line(3) + b'a "score" in the log\n', SCORED + line(3)])
def test_a_score_in_the_same_chunk_is_not_lost(last, noise):
    (told,) = found([b"text\n" + line(1) + SCORED + line(7) * noise + last])
    assert (told.current, told.iteration, told.score, told.scores) == (3, 1, 6.5, {"a": 6.5})
    assert found([line(1) + last.removeprefix(SCORED)]) == [Progress(3, 9, "x")]


def test_an_iteration_in_the_same_chunk_is_not_lost():
    begun = b'::progress {"current":5,"total":9,"phase":"x","iteration":2}\n'
    assert found([SCORED, line(4) + begun + line(6)])[-1].iteration == 2


def test_a_score_is_not_looked_for_without_end():
    assert found([SCORED + line(3) * 100]) == [Progress(3, 9, "x")]


def test_the_newest_is_found_byte_by_byte():
    pieces = [LOG[at : at + 1] for at in range(len(LOG))]
    assert [told.current for told in found(pieces)] == [1, 3, 4, 5]


@pytest.mark.parametrize("seed", range(100))
def test_it_finds_what_the_client_shows(seed):
    rng = random.Random(seed)
    parts = [line(1), line(2), b"\n", b"text", b"::progress ", b"::", b"{", b"a\n", b"\r\n"]
    content = b"".join(rng.choices(parts, k=60))
    pieces, at = [], 0
    while at < len(content):
        size = rng.choice([1, 2, 5, 30, 200])
        pieces.append(content[at : at + size])
        at += size
    assert found(pieces) == oracle(pieces)


def test_only_the_beginning_of_a_line_is_kept():
    latest = LatestProgress()
    latest.feed(b"::progress " + b"x" * 10_000)
    assert latest._held == b""
    latest.feed(b"y" * 10_000)
    assert latest._held == b""
    assert latest.feed(b"\n" + line(3)) == Progress(3, 9, "x")


HOSTILE = {
    "lines that are no progress": b"::progress x\n",
    "lines that are": line(1),
    "colons": b":",
    "line ends": b"\n",
    "beginnings": b"::progress ",
    "text": b"2030-01-01 12:00:00 INFO a line of a log as it usually is\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_output_makes_it_slow(name):
    """Generous bounds: what grows with the square of a piece is a hundred times slower."""
    piece = (HOSTILE[name] * (128 << 10))[: 128 << 10]
    latest, began = LatestProgress(), time.process_time()
    for _ in range(80):
        latest.feed(piece)
    assert (80 << 17) / (time.process_time() - began) > 70e6, "slower than 70 MB/s"


# ---------------------------------------------------------------------- in the path of a log


class Path:
    """A capped log with a tap, and what it told."""

    def __init__(self, log=None, cap_bytes=1 << 20, secrets=()):
        self.log = log or MemoryLog()
        self.told = []
        masking = Masking.of(secrets)
        capped = CappedLog(self.log, 0, cap_bytes)
        tap = ProgressTap(
            capped, lambda one: self.told.append(masking.progress(one)), lambda: capped.tail(4000)
        )
        self.output = masking.output(tap)


def test_every_byte_is_in_the_log():
    path = Path()
    for at in range(0, len(LOG), 10):
        path.output.append(LOG[at : at + 10])
    path.output.finish(OutputEnd(len(LOG)))
    assert path.log.read(0, 1 << 20) == LOG
    assert [one.current for one in path.told] == [1, 3, 4, 5]


@pytest.mark.parametrize("cut", range(0, len(LOG), 17))
def test_whoever_follows_next_knows_where_the_line_began(cut):
    first = Path()
    first.output.append(LOG[:cut])
    second = Path(first.log)
    assert second.told == oracle([LOG[:cut]])[-1:], "what the first may not have told"
    second.told.clear()
    second.output.append(LOG[second.output.skip :])
    assert second.told[-1:] in ([], [Progress(5, 9, "x")])
    assert (first.told + second.told)[-1].current == 5


def test_what_is_held_back_counts_as_stored():
    """After the head of a log that is too large, progress is still told."""
    path = Path(cap_bytes=1000)
    path.output.append(line(1) + b"x" * 2000 + b"\n" + line(2))
    path.output.append(line(3) + b"end")
    assert [one.current for one in path.told] == [2, 3]
    assert [one.current for one in Path(path.log, cap_bytes=1000).told] == [3]


def test_a_tail_begins_with_a_line():
    log = MemoryLog()
    capped = CappedLog(log, 0, 1 << 20)
    capped.append(b"x" * 100 + line(1) + line(2))
    assert capped.tail(len(line(2))) == b""
    assert capped.tail(len(line(2)) + 1) == line(2)
    assert capped.tail(len(line(2)) + 20) == line(2)
    assert capped.tail(1000) == b"x" * 100 + line(1) + line(2)
    assert CappedLog(MemoryLog(), 0, 1 << 20).tail(TAIL_BYTES) == b""


def test_secrets_are_masked_also_when_json_spells_them_otherwise():
    secret = "correct-horse-battery"
    path = Path(secrets=[Secret("TOKEN", secret.encode())])
    spelled = "".join(f"\\u{ord(char):04x}" for char in secret)
    for text in (secret, spelled):
        told = '"current":1,"total":2,"phase":"{0}","message":"the {0}!","scores":{{"{0}":1}}'
        path.output.append(f"::progress {{{told.format(text)}}}\n".encode())
    path.output.append(b"." * 1000 + b"\n")
    hidden = "*" * len(secret)
    wanted = Progress(1, 2, hidden, scores={hidden: 1}, message=f"the {hidden}!")
    assert path.told == [wanted, wanted]


def test_a_defect_of_progress_is_none_of_the_log(caplog):
    path = Path()
    path.told = None  # whoever is to be told is broken
    path.output.append(line(1))
    path.output.append(line(2))
    assert path.log.read(0, 1000) == line(1) + line(2)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
