"""Several streams read at once, each on a thread of its own, and handed out on one."""

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from ci_client.errors import ClientError

_AHEAD = 256
"""Items that may wait to be handed out; then the streams wait, and with them their servers."""

_LOOK_SECONDS = 0.5
"""Where nothing arrives: on Windows Ctrl-C does not end a wait."""

_Item = TypeVar("_Item")


def merged(streams: Sequence[Iterable[_Item]]) -> Iterator[tuple[int, _Item | ClientError]]:
    """All items as they arrive, each with the number of its stream, in which they are in order. A
    ClientError of a stream is its last item, and the others go on.

    Raises what else a stream raises.
    """
    arrived: queue.Queue[tuple[int, _Item | Exception | None]] = queue.Queue(_AHEAD)
    for number, stream in enumerate(streams):
        threading.Thread(target=_read, args=(number, stream, arrived), daemon=True).start()
    left = len(streams)
    while left:
        try:
            number, item = arrived.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            continue
        if item is None:
            left -= 1
        elif isinstance(item, Exception) and not isinstance(item, ClientError):
            raise item
        else:
            yield number, item


def _read(
    number: int,
    stream: Iterable[_Item],
    arrived: "queue.Queue[tuple[int, _Item | Exception | None]]",
) -> None:
    try:
        for item in stream:
            arrived.put((number, item))
    except Exception as error:  # noqa: BLE001 (it is raised, or handed out, where items are)
        arrived.put((number, error))
    arrived.put((number, None))
