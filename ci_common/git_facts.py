"""What git says of the work tree that a project was packed from."""

import re
from dataclasses import dataclass

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
LONGEST_FACT = 255
"""Characters of a branch, a description or an address."""
LABEL_PREFIX = "git."


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

    remote: str | None = None
    """URL of the repository that is pulled from, without credentials."""

    @property
    def labels(self) -> dict[str, str]:
        """The labels that a job gets from it."""
        found = {
            "commit": self.commit,
            "branch": self.branch,
            "dirty": "true" if self.dirty else "false",
            "remote": self.remote,
        }
        return {f"{LABEL_PREFIX}{name}": value for name, value in found.items() if value}

    def __post_init__(self) -> None:
        if not _COMMIT.fullmatch(self.commit):
            raise ValueError("commit: must be 40 or 64 lowercase hexadecimal digits")
        for name in ("branch", "describe", "remote"):
            text = getattr(self, name)
            if text is not None and not (0 < len(text) <= LONGEST_FACT and text.isprintable()):
                raise ValueError(f"{name}: must be 1 to {LONGEST_FACT} printable characters")
