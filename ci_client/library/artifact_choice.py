"""Artifacts as the server lists them, and which of them are meant: the patterns are those of a
job's table, in `ci_common`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ci_client.errors import UsageError
from ci_common.artifact_paths import ArtifactGlob


def is_artifact(found: Any) -> bool:
    """Whether the server told of an artifact."""
    kinds = {"path": str, "size": int, "sha256": str}
    return isinstance(found, dict) and all(
        isinstance(found.get(key), kind) for key, kind in kinds.items()
    )


class ArtifactChoice:
    """The artifacts that match one of the patterns; all, where there are none."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises UsageError for what is no pattern of a path within the project."""
        try:
            self._globs = [ArtifactGlob(pattern) for pattern in patterns]
        except ValueError as error:
            raise UsageError(f"{error}.") from None

    def of(self, artifacts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that match, in their order."""
        if not self._globs:
            return list(artifacts)
        return [one for one in artifacts if any(glob.matches(one["path"]) for glob in self._globs)]

    def unmatched(self, artifacts: Sequence[Mapping[str, Any]]) -> list[str]:
        """The patterns that fit no artifact."""
        return [
            glob.text
            for glob in self._globs
            if not any(glob.matches(one["path"]) for one in artifacts)
        ]
