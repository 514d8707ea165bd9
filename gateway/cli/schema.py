"""`dockline schema`: the JSON Schema of the events and of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.errors import Failure

CONFIG = "gateway.schema"
EXPECTATION = "expectation.schema"


def schema(
    name: Annotated[
        str | None, typer.Argument(help="Event (receipt, pick, ...), event, expectation, or config.")
    ] = None,
    *,
    write: Annotated[Path | None, typer.Option(help="Write all of them as files into this folder.")] = None,
) -> None:
    """Print one schema, list them all, or write them as files."""
    from gateway.checks.expectation import document_schema
    from gateway.events.json_schema import schema_text, schemas, write_schemas
    from gateway.settings.json_schema import config_schema

    found = {**schemas(), "expectation": document_schema(), "config": config_schema()}
    if write is not None:
        try:
            write.mkdir(parents=True, exist_ok=True)
            write_schemas(write)
            for file, text in ((CONFIG, config_schema()), (EXPECTATION, document_schema())):
                (write / f"{file}.json").write_text(schema_text(text), encoding="utf-8")
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
