"""Limits of concurrent operations, counted per user or address."""

from collections import Counter
from collections.abc import Callable, Hashable


class Slots:
    """So many for each caller. Only those who have one are remembered."""

    def __init__(self, most: int) -> None:
        """`most` at once; 0 means any number."""
        self.most = most
        self._taken: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._taken)

    def has_room(self, caller: Hashable) -> bool:
        """Whether the caller may have one more."""
        return not self.most or self._taken[caller] < self.most

    def take(self, caller: Hashable) -> Callable[[], None]:
        """Take one, whether or not there is room; what gives it back, once."""
        self._taken[caller] += 1

        def give_back() -> None:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]

        return give_back
