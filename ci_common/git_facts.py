"""What git says of the work tree that a project was packed from."""

import re
from dataclasses import dataclass

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class GitFacts:
    """Raises ValueError, with a message for people, for what git would not say."""

    commit: str
    """Of HEAD, in full, in lower-case hex."""
    branch: str | None = None
    """`None` when HEAD is detached."""
    dirty: bool = False
    """Whether tracked files differ from the commit."""
    describe: str | None = None
    """`git describe --tags --long`; `None` when no tag leads to the commit."""

    def __post_init__(self) -> None:
        if not _COMMIT.fullmatch(self.commit):
            raise ValueError("commit: must be 40 or 64 digits of lower-case hex")
        for name in ("branch", "describe"):
            text = getattr(self, name)
            if text is not None and not (0 < len(text) <= _LONGEST and text.isprintable()):
                raise ValueError(f"{name}: must be 1 to {_LONGEST} printable characters")
