"""How settings are read: each from an environment variable, `db_path` from `CI_DB_PATH`."""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ci_common.errors import SettingsError


class EnvironmentSettings(BaseSettings):
    """Read from the environment; what is given as an argument takes precedence.

    Raises pydantic.ValidationError: programs use `read_settings`, which says it by variable.
    """

    model_config = SettingsConfigDict(
        env_prefix="CI_", extra="ignore", frozen=True, allow_inf_nan=False
    )


Model = TypeVar("Model", bound=EnvironmentSettings)


def read_settings(model: type[Model], *others: type[EnvironmentSettings]) -> Model:
    """The settings of one model, when the others can be read as well.

    Raises SettingsError, which names every wrong variable.
    """
    problems: list[str] = []
    found: Model | None = None
    try:
        found = model()
    except ValidationError as error:
        problems += _problems(error)
    for other in others:
        try:
            other()
        except ValidationError as error:
            problems += _problems(error)
    if found is None or problems:
        raise SettingsError("; ".join(problems))
    return found


def _problems(error: ValidationError) -> list[str]:
    return [_described(problem["loc"], problem["msg"]) for problem in error.errors()]


def _described(place: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"CI_{'_'.join(map(str, place)).upper()}: {message}" if place else message
