"""`dockline schema`: JSON Schemas of events, documents and configuration, and the two descriptions of interfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.errors import Failure

OWN_FILES = {"gateway.schema": "config", "expectation.schema": "expectation"}
INTERFACES = ("openapi", "asyncapi")


def schema(
    name: Annotated[
        str | None, typer.Argument(help="Event (receipt, pick, ...), event, expectation, config, openapi, or asyncapi.")
    ] = None,
    *,
    write: Annotated[Path | None, typer.Option(help="Write all of them as files into this folder.")] = None,
) -> None:
    """Print one schema, list them all, or write them as files."""
    from gateway.checks.expectation import document_schema
    from gateway.events.json_schema import schema_text, schemas, write_schemas
    from gateway.settings.json_schema import config_schema

    found = {**schemas(), "expectation": document_schema(), "config": config_schema(), **_interfaces()}
    if write is not None:
        try:
            write.mkdir(parents=True, exist_ok=True)
            write_schemas(write)
            for file, named in (*OWN_FILES.items(), *((one, one) for one in INTERFACES)):
                (write / f"{file}.json").write_text(schema_text(found[named]), encoding="utf-8")
        except OSError as error:
            raise Failure(f"{write}: {error.strerror}") from None
        print(f"{len(found)} schemas in {write}")
    elif name is None:
        print("\n".join(sorted(found)))
    elif name in found:
        print(schema_text(found[name]), end="")
    else:
        from gateway.settings.problem import did_you_mean

        raise Failure(f'There is no schema "{name}".', hint=did_you_mean(name, found))


def _interfaces() -> dict[str, dict[str, Any]]:
    from gateway.asyncapi import asyncapi
    from gateway.web.openapi import openapi

    return {"openapi": openapi(), "asyncapi": asyncapi()}
