"""The body of a run's submission."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _for_a_variable(value: str) -> str:
    """Queries become variables of the environment."""
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


ControlStrategy = Literal["synthetic_control", "query_as_control"]
Query = Annotated[str, Field(min_length=10, max_length=10_000), AfterValidator(_for_a_variable)]
_Name = Annotated[str, Field(max_length=200)]


class SubmittedRun(BaseModel):
    """What a run is to do. Options that are null are as if they were left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: Query
    control_strategy: ControlStrategy | None = None
    max_iterations: Annotated[int, Field(ge=1, le=10)] | None = None
    score_threshold: Annotated[int | float, Field(ge=1, le=10)] | None = None
    llm_provider: _Name | None = None
    llm_model: _Name | None = None
    random_seed: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    enable_literature_search: bool | None = None
    enable_pathway_enrichment: bool | None = None
    de_config: dict[str, Any] | None = None


_DEFAULTS = {"control_strategy": "synthetic_control", "max_iterations": 5, "score_threshold": 7}


def config_of(run: SubmittedRun) -> dict[str, Any]:
    """The request with its defaults, without what it does not say."""
    return _DEFAULTS | run.model_dump(exclude_none=True)
