"""The lines that stand in a log for output that was lost."""

from ci_common.ports.workloads import OutputEnd


def lost_marker(end: OutputEnd) -> bytes:
    """The line that tells at the end of an output that bytes are missing there; empty when none
    are.
    """
    if end.lost == 0 or not end.why:
        return b""
    if end.lost is None:
        return f"\n[... output may be missing here: {end.why} ...]\n".encode()
    return f"\n[... {end.lost} bytes of output are missing here: {end.why} ...]\n".encode()


def missing_bytes(size: int) -> bytes:
    """A line in place of bytes that nobody has, as long as they were, so that offsets stay true."""
    text = f"\n[... {size} bytes of output are missing here".encode()
    return (text.ljust(size, b".")[: max(size - 2, 0)] + b"]\n")[:size]
