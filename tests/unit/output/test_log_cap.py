"""A capped log is a function of the output alone, however it arrives and whoever writes it."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ci_common.ports.workloads import OutputEnd
from ci_controller.output.log_cap import CappedLog
from support.memory_log import MemoryLog


def final(output: bytes, cap: int, cuts: list[int], setup: bytes = b"") -> tuple[bytes, int]:
    """What the log holds after the output came in these pieces, and what is left out."""
    log = MemoryLog(setup)
    capped = CappedLog(log, len(setup), cap)
    for begin, end in zip([0, *cuts], [*cuts, len(output)], strict=True):
        capped.append(output[begin:end])
    dropped = capped.finish(OutputEnd(len(output)))
    return bytes(log.content), dropped


outputs = st.binary(max_size=400) | st.lists(
    st.sampled_from([b"line\n", b"a longer line of text\n", b"x"]), max_size=60
).map(b"".join)
cut_lists = st.lists(st.integers(0, 400), max_size=8)


def pieces(output: bytes, cuts: list[int]) -> list[int]:
    return sorted(min(cut, len(output)) for cut in cuts)


@given(outputs, cut_lists, st.integers(1000, 2000))
def test_output_within_the_cap_is_kept_whole(output: bytes, cuts: list[int], cap: int) -> None:
    assert final(output, cap, pieces(output, cuts)) == (output, 0)


@given(outputs, cut_lists, cut_lists, st.integers(4, 200))
def test_the_result_does_not_depend_on_how_the_output_was_cut(
    output: bytes, one: list[int], other: list[int], cap: int
) -> None:
    assert final(output, cap, pieces(output, one)) == final(output, cap, pieces(output, other))


@given(outputs, st.integers(4, 200))
def test_head_and_tail_are_kept_and_the_marker_tells_exactly_what_is_missing(
    output: bytes, cap: int
) -> None:
    stored, dropped = final(output, cap, [])
    if dropped == 0:
        assert stored == output
        return
    head = cap - cap // 4
    assert stored[:head] == output[:head]
    marker = re.compile(rb"\n\[\.\.\. (\d+) bytes left out: [^\n]*\]\n").match(stored, head)
    assert marker is not None
    assert int(marker[1]) == dropped
    tail = stored[marker.end() :]
    assert output.endswith(tail)
    assert head + dropped + len(tail) == len(output)


ends = st.sampled_from([(0, ""), (None, "it was killed"), (7, "no room"), (7, "")])


@given(outputs, st.integers(4, 200), cut_lists, st.integers(0, 600), st.binary(max_size=20), ends)
def test_another_process_adds_only_what_is_missing(
    output: bytes,
    cap: int,
    stops: list[int],
    crash: int,
    setup: bytes,
    lost: tuple[int | None, str],
) -> None:
    end = OutputEnd(len(output), *lost)
    undisturbed = MemoryLog(setup)
    capped = CappedLog(undisturbed, len(setup), cap)
    capped.append(output)
    dropped = capped.finish(end)
    log = MemoryLog(setup)
    for stop in pieces(output, stops):  # each process dies after so many bytes of output
        capped = CappedLog(log, len(setup), cap)
        assert capped.skip <= len(output)
        capped.append(output[capped.skip : stop])
    capped = CappedLog(log, len(setup), cap)
    capped.append(output[capped.skip :])
    # The last but one dies in the midst of the ending.
    whole = bytes(undisturbed.content)
    log.content += whole[log.size : max(log.size, crash)]
    capped = CappedLog(log, len(setup), cap)
    capped.append(output[capped.skip :])
    assert capped.finish(end) == dropped
    assert bytes(log.content) == whole


def test_an_unknown_loss_is_told_where_it_is() -> None:
    log = MemoryLog()
    capped = CappedLog(log, 0, 1000)
    capped.append(b"half a line")
    assert capped.finish(OutputEnd(11, None, "the machine went down")) == 0
    assert bytes(log.content) == (
        b"half a line\n[... output may be missing here: the machine went down ...]\n"
    )


def test_a_loss_is_told_after_bytes_that_the_end_does_not_know_of() -> None:
    """After a power cut: the log was synced, and the count of what was written was not."""
    log = MemoryLog(b"x" * 1000)
    assert CappedLog(log, 0, 10_000).finish(OutputEnd(500, None, "the machine went down")) == 0
    assert log.content.endswith(b"x\n[... output may be missing here: the machine went down ...]\n")
    assert log.content.startswith(b"x" * 1000)


def test_the_head_is_there_at_once_and_memory_is_bounded() -> None:
    log = MemoryLog()
    capped = CappedLog(log, 0, 1000)
    for _ in range(1000):
        capped.append(b"x" * 100)
        assert log.size <= 750
        assert len(capped._held) <= 500 + 100
    assert log.size == 750
    assert capped.finish(OutputEnd(100_000)) == 100_000 - 750 - 250
