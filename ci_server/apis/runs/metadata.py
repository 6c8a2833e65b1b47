"""The catalogue over HTTP: perturbations, cell types and datasets."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from ci_common.ports.catalogue import CatalogueReader
from ci_server.http.guards import Lister

router = APIRouter(prefix="/api/v1/metadata")


async def _catalogue(request: Request) -> CatalogueReader:
    catalogue: CatalogueReader = request.app.state.catalogue
    return catalogue


Catalogue = Annotated[CatalogueReader, Depends(_catalogue)]


@router.get("/perturbations")
async def perturbations(
    catalogue: Catalogue,
    principal: Lister,
    dataset: str | None = None,
    perturbation_type: str | None = None,
) -> list[dict[str, Any]]:
    """Perturbations, controls included: those with the most cells first. An empty parameter is
    none.
    """
    found = await catalogue.perturbations(dataset or None, perturbation_type or None)
    return list(map(asdict, found))


@router.get("/cell-types")
async def cell_types(
    catalogue: Catalogue, principal: Lister, dataset: str | None = None
) -> list[dict[str, Any]]:
    """Cell types: those with the most cells first. An empty parameter is none."""
    return list(map(asdict, await catalogue.cell_types(dataset or None)))


@router.get("/datasets")
async def datasets(catalogue: Catalogue, principal: Lister) -> list[str]:
    """The names of all datasets."""
    return await catalogue.datasets()
