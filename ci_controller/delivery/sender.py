"""What sends the messages of a channel."""

from typing import Protocol

from ci_common.deliveries import Attempt, Message


class Sender(Protocol):
    """Sends messages of one channel; several at once."""

    async def send(self, message: Message) -> Attempt:
        """Try once, within a bounded time. What goes wrong outside is told by the result."""
