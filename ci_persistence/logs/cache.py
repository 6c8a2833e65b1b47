"""A cache for values that are costly to make, shared by all threads of a process."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")

_STRIPES = 16


class SharedCache(Generic[Value]):
    """Keeps what was used last, up to a weight. Threads that want the same value at the same
    time wait for the one of them that makes it.
    """

    def __init__(self, max_weight: int, weigh: Callable[[Value], int]) -> None:
        self._max_weight = max_weight
        self._weigh = weigh
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()
        self._making = [threading.Lock() for _ in range(_STRIPES)]

    @property
    def weight(self) -> int:
        """Of everything that is kept."""
        return self._weight

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value, made when it is not there. What `make` raises is raised, and not kept."""
        with self._making[hash(key) % _STRIPES]:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
            value = make()
            with self._lock:
                self._values[key] = value
                self._weight += self._weigh(value)
                while self._weight > self._max_weight and len(self._values) > 1:
                    self._weight -= self._weigh(self._values.popitem(last=False)[1])
            return value
