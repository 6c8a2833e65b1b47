"""Finds the escape sequences in a large part of a log, all at once.

An expression takes about 0.1 µs for each of them, and a log in which every word is coloured has 25
million in 200 MB. Here each step is done for all of them, on arrays. The time is linear in the size
of the part, whatever is in it.

What is found is what `SEQUENCE` matches. That is simple because no sequence has an escape character
within it, but for strings, which may end with two bytes of which this is the first.
"""

import numpy as np
from numpy.typing import NDArray

from ci_server.streams.escape_sequences import MOST_INTERMEDIATES, MOST_PARAMETERS, MOST_TEXT

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.intp]
Flags = NDArray[np.bool_]

_ESCAPE, _BELL, _BACKSLASH = 0x1B, 0x07, ord("\\")
_INTERMEDIATES, _PARAMETERS = 2, 3
"""Half a byte: 0x20 to 0x2f, 0x30 to 0x3f."""

# glibc's malloc keeps memory for the next arrays in amounts that it has once seen to be given back
# (mallopt(3), "dynamic mmap threshold"); with less, a third of the time of a search is page faults.
np.empty(4 << 20, np.uint8)


def find_sequences(part: bytes) -> tuple[Numbers, Numbers]:
    """Where the sequences begin, and where they end."""
    content: Bytes = np.frombuffer(part + b"\n\n\n", np.uint8)  # none goes beyond a line
    begins = np.flatnonzero(content == _ESCAPE)
    ends = begins + 1
    kinds = content[ends]
    is_control = kinds == ord("[")
    control = np.flatnonzero(is_control)
    ends += is_control
    _skip(content, ends, control, _PARAMETERS, MOST_PARAMETERS)
    intermediate = np.flatnonzero(content[ends] >> 4 == _INTERMEDIATES)
    _skip(content, ends, intermediate, _INTERMEDIATES, MOST_INTERMEDIATES)
    final = content[ends]
    ends += 1
    found = (final >= 0x30) & (final <= 0x7E)
    unfinished = control[(final[control] < 0x40) | (final[control] > 0x7E)]
    ends[unfinished] = begins[unfinished] + 2  # so it is one of two bytes
    found[unfinished] = True
    for kind, stops in ((b"]", b"\x1b\x07\r\n"), (b"PX^_", b"\x1b\r\n")):
        strings = np.flatnonzero(_is_any(kinds, kind))
        if strings.size:
            _end_strings(content, begins, ends, found, strings, _is_any(content, stops))
    return begins[found], ends[found]


def without(part: bytes, begins: Numbers, ends: Numbers) -> bytes:
    """The part without what is between these places."""
    # With an index for each byte, arrays would be so large that each part has new pages of memory.
    edges = np.zeros(2 * len(begins) + 2, np.intp)
    edges[1:-1:2], edges[2:-1:2], edges[-1] = begins, ends, len(part)
    stays = np.ones(len(edges) - 1, np.bool_)
    stays[1::2] = False
    content: Bytes = np.frombuffer(part, np.uint8)
    return content[np.repeat(stays, np.diff(edges))].tobytes()


def _skip(content: Bytes, places: Numbers, rows: Numbers, kind: int, most: int) -> None:
    """Move the places in these rows past bytes of a kind."""
    at = places[rows]
    for _ in range(most):
        goes_on = content[at] >> 4 == kind
        going = np.count_nonzero(goes_on)
        if not going:
            break
        if going > len(rows) // 4:
            at += goes_on
        else:  # leave behind those that do not go on any more
            places[rows] = at
            rows, at = rows[goes_on], at[goes_on] + 1
    places[rows] = at


def _end_strings(
    content: Bytes, begins: Numbers, ends: Numbers, found: Flags, rows: Numbers, is_stop: Flags
) -> None:
    """Correct the ends of strings, which are in these rows. The text of a string goes to the next
    stop, of which the escape characters are some. If it has no end there, two bytes are a sequence.
    """
    stops = np.flatnonzero(is_stop)
    places = stops[np.flatnonzero(content[stops] == _ESCAPE)[rows] + 1]
    size = places - begins[rows] - 2
    by_bell = content[places] == _BELL
    by_escape = (content[places] == _ESCAPE) & (content[places + 1] == _BACKSLASH)
    finished = (by_bell | by_escape) & (size <= MOST_TEXT)
    ends[rows[finished]] = (places + 1 + by_escape)[finished]
    found[rows[finished & by_escape] + 1] = False


def _is_any(content: Bytes, kinds: bytes) -> Flags:
    found: Flags = content == kinds[0]
    for kind in kinds[1:]:
        found |= content == kind
    return found
