"""The escape sequences of terminals (ECMA-48), as an expression."""

import re

MOST_PARAMETERS, MOST_INTERMEDIATES, MOST_TEXT = 256, 16, 4096
"""Bytes of each kind in a sequence. What has more is no sequence."""

LONGEST_SEQUENCE = 4 + MOST_TEXT

SEQUENCE = re.compile(
    rb"\x1b(?:"
    rb"\[[0-?]{0,%(parameters)d}+[ -/]{0,%(intermediates)d}+[@-~]|"  # CSI: colours, movements
    rb"\][^\x07\x1b\r\n]{0,%(text)d}+(?:\x07|\x1b\\)|"  # OSC: titles, links
    rb"[PX^_][^\x1b\r\n]{0,%(text)d}+\x1b\\|"  # DCS, SOS, PM, APC
    rb"[ -/]{0,%(intermediates)d}+[0-~])"  # the others; and what of the above has no end
    % {
        b"parameters": MOST_PARAMETERS,
        b"intermediates": MOST_INTERMEDIATES,
        b"text": MOST_TEXT,
    }
)
"""None is longer than `LONGEST_SEQUENCE`, or goes beyond a line.

It is no part of a larger expression: a log may have so many sequences that can be read in two ways
that to try them all takes for ever, while no other thread runs.
"""
