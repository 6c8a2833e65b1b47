"""Sentences about files, with the help of a library from requirements.txt."""

import humanize


def describe(name: str, size: int) -> str:
    """`describe("a.log", 2_048)` is "a.log: 2.0 KiB"."""
    return f"{name}: {humanize.naturalsize(size, binary=True)}"
