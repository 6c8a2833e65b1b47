"""A masked log, with its cap, is a function of the raw output, whoever reads it from where."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.ports.workloads import OutputEnd
from ci_common.secret import Secret
from ci_controller.output.log_cap import CappedLog
from ci_controller.output.masking import Masking
from support.memory_log import MemoryLog

SECRETS = [Secret("A", b"abababab-abab"), Secret("B", b"b-abababab")]
MASKING = Masking.of(SECRETS)

outputs = st.lists(
    st.sampled_from([b"abababab-abab", b"b-abababab", b"ab", b"-", b"\n", b"text ", b"b-ab..."]),
    max_size=60,
).map(b"".join)


def written(output: bytes, cap: int, stops: list[int], setup: bytes = b"setup\n") -> bytes:
    """The log when its writer was replaced after so many bytes of raw output each."""
    log = MemoryLog()
    log.append(setup)
    for stop in [*stops, len(output)]:
        masked = MASKING.output(CappedLog(log, len(setup), cap))
        content = output[masked.skip : max(stop, masked.skip)]
        for at in range(0, len(content), 11):
            masked.append(content[at : at + 11])
    masked.finish(OutputEnd(len(output)))
    return bytes(log.content)


@settings(max_examples=200, deadline=None)
@given(outputs, st.integers(8, 900), st.lists(st.integers(0, 500), max_size=4))
def test_replaced_writers_change_nothing(output: bytes, cap: int, stops: list[int]) -> None:
    stops = [min(stop, len(output)) for stop in stops]
    assert written(output, cap, stops) == written(output, cap, [])


@settings(max_examples=100, deadline=None)
@given(outputs)
def test_offsets_are_those_of_the_output(output: bytes) -> None:
    log = written(output, 1 << 20, [], b"")
    assert len(log) == len(output)
    for secret in SECRETS:
        assert secret.value not in log
