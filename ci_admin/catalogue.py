"""`ci-admin catalogue`: import and show the cells that runs can use."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ci_admin.catalogue_columns import CELLS, SYNONYMS, FileKind
from ci_admin.catalogue_files import Problems, read_file
from ci_admin.tables import table
from ci_common.ports.catalogue import CatalogueContents, CatalogueDraft
from ci_controller.executors.registry import load_settings
from ci_persistence.sqlite.catalogue import SqliteCatalogueKeeper
from ci_persistence.sqlite.catalogue_draft import SqliteCatalogueDraft

app = typer.Typer(
    help="Import and show the catalogue of cells that queries of runs are checked against.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_PROBLEMS = 1


@app.command("import")
def import_command(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Cells (CSV or Parquet), synonyms, or both"),
    ],
) -> None:
    """Replace the cells, the synonyms, or both, by those of files, which are recognised by their
    columns. Nothing changes unless all files are valid. The server may be running.
    """
    contents, counts = asyncio.run(_import(files))
    for kind, count in counts.items():
        of = f" of {_counted(len(contents.datasets), 'dataset')}" if kind is CELLS else ""
        typer.echo(f"{kind.name}: replaced by {_counted(count, 'row')}{of}")
    _warn(contents)


@app.command("show")
def show_command(
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON")] = False,
) -> None:
    """Show what the catalogue has of each dataset. The server may be running."""
    contents = asyncio.run(_contents())
    typer.echo(_to_json(contents) if as_json else _to_text(contents))


async def _import(files: Sequence[Path]) -> tuple[CatalogueContents, dict[FileKind, int]]:
    from ci_admin.instance import administered

    settings = load_settings()
    with SqliteCatalogueDraft() as draft:
        counts = _read_all(files, draft)
        async with administered(settings, create=True) as database:
            keeper = SqliteCatalogueKeeper(database)
            await keeper.replace(draft)
            return await keeper.contents(), counts


def _read_all(files: Sequence[Path], draft: CatalogueDraft) -> dict[FileKind, int]:
    """The number of rows by kind of file. Exits if any file has problems, after all are read."""
    counts: dict[FileKind, int] = {}
    found: list[str] = []
    for path in files:
        problems = Problems(path)
        if read := read_file(path, draft, problems, counts):
            kind, count = read
            counts[kind] = count
        found += problems.lines
    if found:
        for line in found:
            print(f"ci-admin: {line}", file=sys.stderr)
        print("ci-admin: nothing was imported", file=sys.stderr)
        raise typer.Exit(_PROBLEMS)
    return counts


async def _contents() -> CatalogueContents:
    from ci_admin.instance import administered

    async with administered(load_settings()) as database:
        return await SqliteCatalogueKeeper(database).contents()


def _warn(contents: CatalogueContents) -> None:
    if not contents.unused_synonym_count or not contents.datasets:
        return
    named = ", ".join(
        f"{synonym.synonym!r} for {synonym.canonical_name!r}"
        for synonym in contents.unused_synonyms
    )
    synonyms = _counted(contents.unused_synonym_count, "synonym")
    print(
        f"ci-admin: warning: {synonyms} for names that no cells have, such as {named}",
        file=sys.stderr,
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _to_json(contents: CatalogueContents) -> str:
    datasets = [asdict(dataset) for dataset in contents.datasets]
    return json.dumps({"datasets": datasets, SYNONYMS.name: contents.synonyms}, indent=2)


def _to_text(contents: CatalogueContents) -> str:
    if not contents.datasets:
        return f"no cells were imported; {_counted(contents.synonyms, 'synonym')}"
    headings = ("DATASET", "ROWS", "CELLS", "CELL TYPES", "PERTURBATIONS", "DONORS")
    rows = [list(map(str, asdict(dataset).values())) for dataset in contents.datasets]
    return f"{table(headings, rows)}\n{_counted(contents.synonyms, 'synonym')}"
