"""How much of what all jobs share may be one tenant's."""


def collections_of_tenant(total: int) -> int:
    """How many of so many collections may be one tenant's: its artifacts, which may take minutes,
    never make all others wait.
    """
    return (total + 1) // 2
