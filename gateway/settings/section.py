"""What every table of the configuration has in common, and the types of its values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, WithJsonSchema


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("must be the path of a file or folder, in quotes")
    return Path(value)


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


FilePath = Annotated[Path, PlainValidator(_path), WithJsonSchema({"type": "string", "format": "path"})]
Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple)]


class Section(BaseModel):
    """A table of the file: closed, frozen, strict."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
