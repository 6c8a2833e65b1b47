"""Variables of the environment that are no settings, but were probably meant as one.

Other CI systems set many variables that begin with CI_ as well, so only what is nearly the name of
a setting counts.
"""

from collections.abc import Iterable

from ci_common.settings.environment import EnvironmentSettings
from ci_common.suggestions import closest

_LIKENESS = 0.9
"""More than for what people type on a command line."""

_UNITS = ("_MB", "_SECONDS", "_DAYS", "_PERCENT")
"""What is easily forgotten at the end of a setting."""

_SAME = {
    **dict.fromkeys(("path", "directory", "folder", "file"), "dir"),
    **dict.fromkeys(("database", "sqlite"), "db"),
    **dict.fromkeys(("address", "uri"), "url"),
    **dict.fromkeys(("mib", "mbytes", "megabytes"), "mb"),
    **dict.fromkeys(("sec", "secs"), "seconds"),
}
"""Words that are easily taken for each other."""


def near_misses(
    variables: Iterable[str], models: Iterable[type[EnvironmentSettings]]
) -> dict[str, str]:
    """By variable that is no setting of these models, the one that was probably meant."""
    settings = {f"CI_{name}".upper() for model in models for name in model.model_fields}
    plain = {
        **{_plain(name.removesuffix(unit)): name for unit in _UNITS for name in sorted(settings)},
        **{_plain(name): name for name in settings},
    }
    others = sorted(name for name in variables if name[:3] == "CI_" and name not in settings)
    found = ((name, closest(_plain(name), plain, _LIKENESS)) for name in others)
    return {
        name: plain[meant]
        for name, meant in found
        # CI_ENVIRONMENT_NAME is a variable of its own, beside CI_ENVIRONMENT.
        if meant is not None and not name.startswith(f"{plain[meant]}_")
    }


def _plain(name: str) -> str:
    words = name.lower().removeprefix("ci_").split("_")
    return "-".join(_SAME.get(word, word) for word in words)
