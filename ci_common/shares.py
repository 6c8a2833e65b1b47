"""How much of what all tenants share may be one tenant's."""


def share_of_tenant(total: int) -> int:
    """How many of so many places, for work that may take minutes: about half, and at least one, so
    that one tenant never makes all others wait.
    """
    return (total + 1) // 2
