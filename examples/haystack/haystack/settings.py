"""What a run is told, read from its environment: the variables that every run gets."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from haystack.errors import SettingsError

CONTROL_STRATEGIES = ("synthetic_control", "query_as_control")
QUERY_LENGTH = (10, 10_000)
DEFAULT_SEED = 0
"""Fixed, so that a run that is started again ends with the same scores."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class DifferentialExpression:
    """When a gene counts as differentially expressed (`de_config`)."""

    max_adjusted_p_value: float = 0.05
    min_log2_fold_change: float = 0.5


@dataclass(frozen=True)
class Settings:
    """A run's settings, checked."""

    run_id: str
    query: str
    user_email: str = ""
    control_strategy: str = "synthetic_control"
    max_iterations: int = 5
    score_threshold: float = 7.0
    random_seed: int = DEFAULT_SEED
    enable_pathway_enrichment: bool = True
    expression: DifferentialExpression = field(default_factory=DifferentialExpression)
    notes: tuple[str, ...] = ()
    """What was asked for and has no effect here."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of this environment. A variable comes before the same value in RUN_CONFIG.

    Raises:
        SettingsError: a value is missing or not allowed.
    """
    config = _config(environment.get("RUN_CONFIG", ""))
    given = _Given(environment, config)
    return Settings(
        run_id=_run_id(given.text("RUN_ID")),
        query=_query(given.text("QUERY")),
        user_email=given.text("USER_EMAIL"),
        control_strategy=_choice(
            "CONTROL_STRATEGY", given.text("CONTROL_STRATEGY") or CONTROL_STRATEGIES[0]
        ),
        max_iterations=int(given.number("MAX_ITERATIONS", 5, 1, 10, whole=True)),
        score_threshold=given.number("SCORE_THRESHOLD", 7, 1, 10),
        random_seed=int(given.number("random_seed", DEFAULT_SEED, 0, 2**32 - 1, whole=True)),
        enable_pathway_enrichment=given.flag("enable_pathway_enrichment", default=True),
        expression=_expression(config.get("de_config")),
        notes=tuple(_notes(config)),
    )


class _Given:
    """Values by name, from a variable or, without one, from the field of RUN_CONFIG."""

    def __init__(self, environment: Mapping[str, str], config: Mapping[str, Any]) -> None:
        self._environment = environment
        self._config = config

    def text(self, name: str) -> str:
        """A string; empty if there is none."""
        value = self._find(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise SettingsError(f"{name} must be a string")
        return _printable(name, value)

    def number(
        self, name: str, default: float, least: float, most: float, *, whole: bool = False
    ) -> float:
        """A number within these bounds."""
        value = self._find(name)
        found = default if value is None else _number(value)
        if found is None or not least <= found <= most or (whole and found != int(found)):
            kind = "an integer" if whole else "a number"
            raise SettingsError(f"{name} must be {kind} from {least:g} to {most:g}, not {value!r}")
        return found

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false."""
        value = self._find(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise SettingsError(f"{name} must be true or false")
        return value

    def _find(self, name: str) -> Any:
        value: Any = self._environment.get(name, "") if name.isupper() else ""
        return self._config.get(name.lower()) if value == "" else value


def _config(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise SettingsError("RUN_CONFIG is not JSON") from None
    if not isinstance(found, dict):
        raise SettingsError("RUN_CONFIG must be a JSON object")
    return found


def _printable(name: str, value: str) -> str:
    """The text without surrounding blanks, with blanks for control characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{name} is not valid UTF-8") from None
    return "".join(c if c.isprintable() else " " for c in value).strip()


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _run_id(value: str) -> str:
    if not _RUN_ID.fullmatch(value):
        raise SettingsError(
            "RUN_ID must be 1 to 64 letters, digits, '_', '-' or '.', and begin with a letter or "
            "digit: it is part of file names"
        )
    return value


def _query(value: str) -> str:
    least, most = QUERY_LENGTH
    if not least <= len(value) <= most:
        raise SettingsError(f"QUERY must have {least} to {most} characters, not {len(value)}")
    return value


def _choice(name: str, value: str) -> str:
    if value not in CONTROL_STRATEGIES:
        raise SettingsError(f"{name} must be one of {', '.join(CONTROL_STRATEGIES)}")
    return value


def _expression(config: Any) -> DifferentialExpression:
    if config is None:
        return DifferentialExpression()
    if not isinstance(config, dict):
        raise SettingsError("de_config must be an object")
    usual = DifferentialExpression()
    given = _Given({}, config)
    return DifferentialExpression(
        given.number("max_adjusted_p_value", usual.max_adjusted_p_value, 0, 1),
        given.number("min_log2_fold_change", usual.min_log2_fold_change, 0, 20),
    )


def _notes(config: Mapping[str, Any]) -> list[str]:
    notes = []
    if config.get("llm_provider") or config.get("llm_model"):
        notes.append("llm_provider and llm_model have no effect: no language model is called")
    if config.get("enable_literature_search"):
        notes.append(
            "enable_literature_search has no effect: consistency over donors takes its place"
        )
    known = {"max_adjusted_p_value", "min_log2_fold_change"}
    if isinstance(config.get("de_config"), dict) and set(config["de_config"]) - known:
        notes.append(f"de_config: only {' and '.join(sorted(known))} have an effect")
    return notes
