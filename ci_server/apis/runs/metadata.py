"""The catalogue over HTTP: perturbations, cell types and datasets."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from ci_common.ports.catalogue import CatalogueReader, CellTypeTotal, PerturbationTotal
from ci_server.http.guards import Lister

router = APIRouter(prefix="/api/v1/metadata")


async def _catalogue(request: Request) -> CatalogueReader:
    catalogue: CatalogueReader = request.app.state.catalogue
    return catalogue


Catalogue = Annotated[CatalogueReader, Depends(_catalogue)]


_ENTRIES = list[dict[str, Any]]


@router.get("/perturbations", response_model=_ENTRIES)
async def perturbations(
    catalogue: Catalogue,
    principal: Lister,
    dataset: str | None = None,
    perturbation_type: str | None = None,
) -> JSONResponse:
    """Perturbations, controls included: those with the most cells first. An empty parameter is
    none.
    """
    return _entries(await catalogue.perturbations(dataset or None, perturbation_type or None))


@router.get("/cell-types", response_model=_ENTRIES)
async def cell_types(
    catalogue: Catalogue, principal: Lister, dataset: str | None = None
) -> JSONResponse:
    """Cell types: those with the most cells first. An empty parameter is none."""
    return _entries(await catalogue.cell_types(dataset or None))


@router.get("/datasets")
async def datasets(catalogue: Catalogue, principal: Lister) -> list[str]:
    """The names of all datasets."""
    return await catalogue.datasets()


def _entries(totals: Iterable[PerturbationTotal | CellTypeTotal]) -> JSONResponse:
    """Their fields. Encoded here, because what FastAPI does with a value takes ten times as long,
    and a megabyte of names is possible.
    """
    return JSONResponse(
        [{field.name: getattr(total, field.name) for field in fields(total)} for total in totals]
    )
