"""An account with a mistake in it: interest is cut off where it should be rounded."""

from dataclasses import dataclass


@dataclass
class Account:
    """A balance in cents."""

    balance: int = 0

    def deposit(self, cents: int) -> None:
        """Add an amount."""
        self.balance += cents

    def add_interest(self, percent: int) -> None:
        """Add a year's interest."""
        self.balance += self.balance * percent // 100
