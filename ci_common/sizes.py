"""Amounts of memory as people write them: `512`, `512MB`, `2GB`."""

import re

EXAMPLES_OF_MEBIBYTES = "an integer (MiB), or a string such as '512MB' or '2GB'"

_AMOUNT = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?\s*(m|mb|mib|g|gb|gib|t|tb|tib)", re.IGNORECASE)
_MEBIBYTES = {"m": 1, "g": 1 << 10, "t": 1 << 20}


def parse_mebibytes(text: str) -> int:
    """The number of MiB. As container engines have it, MB and MiB are the same.

    Raises ValueError, with a message for people, for what is no whole number of them.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:60]!r} is not allowed; it must be {EXAMPLES_OF_MEBIBYTES}")
    whole, fraction, unit = found.groups()
    scale = int("1" + "0" * len(fraction or ""))
    amount, rest = divmod(int(whole + (fraction or "")) * _MEBIBYTES[unit[0].lower()], scale)
    if rest:
        raise ValueError(f"{text[:60]!r} is not allowed; it must be an integer number of MiB")
    return amount
