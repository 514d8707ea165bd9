"""One TOML file with its line numbers: read, or refused with the line that is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.settings.positions import Positions
from gateway.settings.problem import Problem, did_you_mean, one_of, path_text

Table = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

FILE_BYTES_MAX = 4 * 1024 * 1024
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_UNREADABLE: dict[type[OSError], str] = {
    FileNotFoundError: "name the file with --config",
    PermissionError: "try sudo; the service reads it through its group: chgrp dockline, chmod 640",
}
_CURLY = "“”„‟‘’‚«»"
_SECRET_WORDS = ("token", "password", "passwd", "secret", "apikey", "api_key", "credential", "bearer")


@dataclass
class Document:
    """A parsed file, and the problems found in it so far."""

    file: str
    data: Table
    positions: Positions
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.problems

    def complain(self, path: Sequence[str | int], what: str, suggestion: str | None = None) -> None:
        """Note a problem at a path of the document."""
        line = self.positions.line(tuple(path))
        self.problems.append(Problem(self.file, line, path_text(path), what, suggestion))

    def validate(self, model: type[Model], table: object, base: Sequence[str | int]) -> Model | None:
        """Return the table as a model, or None with each of its problems noted."""
        if not isinstance(table, dict):
            self.complain(base, f"must be a table: [{path_text(base)}]")
            return None
        try:
            return model.model_validate(table)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=True)
            places = [detail["loc"] for detail in details]
            for detail in details:
                loc = detail["loc"]
                # A list whose members are all wrong is also "too short" to pydantic: one mistake, one complaint.
                inner = any(len(place) > len(loc) and place[: len(loc)] == loc for place in places)
                if not (detail["type"] == "too_short" and inner):
                    self._complain_of(model, detail, base, table)
            return None

    def _complain_of(self, model: type[BaseModel], detail: Any, base: Sequence[str | int], table: Table) -> None:
        location = tuple(part for part in detail["loc"] if not (isinstance(part, str) and "[" in part))
        what, suggestion = explain(model, detail)
        if not location:
            # A rule over several keys names them; the first of those that stands in the file is where to look.
            words = re.findall(r"[a-z][a-z0-9_]+", what)
            location = tuple(word for word in words if word in table)[:1]
        self.complain((*base, *location), what, suggestion)


def read_document(path: Path) -> Document | Problem:
    """Read a file; return the first thing that keeps it from being TOML as a problem."""
    name = str(path)
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            return Problem(name, 1, "", f"is larger than {FILE_BYTES_MAX} bytes; this is not a configuration file")
        raw = path.read_bytes()
    except OSError as error:
        hint = _UNREADABLE.get(type(error))
        return Problem(name, 1, "", f"cannot be read: {error.strerror}", hint)
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return Problem(name, line, "", "is not UTF-8 text", "save the file with the encoding UTF-8")
    return parse_document(name, text)


def parse_document(name: str, text: str) -> Document | Problem:
    """Parse TOML text."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return _syntax_problem(name, text, str(error))
    return Document(name, data, Positions(text))


def _syntax_problem(name: str, text: str, message: str) -> Problem:
    lines = text.split("\n")
    found = _TOML_PLACE.search(message)
    if found and found[1]:
        line, column = int(found[1]), int(found[2])
    else:
        line = next((number for number in range(len(lines), 0, -1) if lines[number - 1].strip()), 1)
        column = len(lines[line - 1]) + 1
    # An unfinished value is noticed at the end of its line, which may be the start of the next one.
    if column == 1 and line > 1 and not lines[line - 1].strip():
        line -= 1
    what = _TOML_PLACE.sub("", message) or "cannot be read"
    written = lines[line - 1] if line <= len(lines) else ""
    return Problem(name, line, "", f"is not TOML: {what} (column {column})", _syntax_hint(what, written))


def _syntax_hint(what: str, written: str) -> str | None:
    if any(char in written for char in _CURLY):
        return 'the quotes are typographic; use straight ones (")'
    if "escape" in what.lower() or ("\\" in written and "backslash" in what.lower()):
        return r"write a backslash twice (\\) or use single quotes ('...')"
    if "overwrite" in what or "twice" in what:
        return "the key or table is already there further up; several devices are written [[device]], not [device]"
    if re.match(r"\s*[\w-]+\s*:\s", written):
        return 'this looks like YAML; TOML writes key = "value"'
    if re.match(r"\s*[\w.-]+\s*=\s*[A-Za-z/]", written) and not re.search(r"=\s*(true|false)\b", written):
        return "text stands in quotes"
    if "=" not in written and not written.lstrip().startswith("["):
        return 'a line is key = "value" or a [table]'
    return None


def explain(model: type[BaseModel], detail: Any) -> tuple[str, str | None]:
    """Return (what is wrong, suggestion) for one of pydantic's complaints."""
    kind, given = detail["type"], detail.get("input")
    context = detail.get("ctx") or {}
    key = str(detail["loc"][-1]) if detail["loc"] else ""
    match kind:
        case "extra_forbidden":
            return _explain_unknown(_owner(model, detail["loc"][:-1]), key)
        case "missing":
            return "is missing", _describe(_owner(model, detail["loc"][:-1]), key)
        case "literal_error" | "enum":
            words = re.findall(r"'([^']*)'", str(context.get("expected", "")))
            what = f"must be {one_of(words)}, not {_shown(key, given)}"
            return what, did_you_mean(given, words) if isinstance(given, str) else None
        case "value_error" | "assertion_error":
            text = str(context.get("error", detail["msg"]))
            return text, None
    return _explain_type(kind, key, given, detail["msg"])


def _explain_unknown(owner: type[BaseModel] | None, key: str) -> tuple[str, str | None]:
    known = list(owner.model_fields) if owner else []
    if key.lower() in _SECRET_WORDS:
        references = [name for name in known if name.endswith(("_file", "_credential"))]
        return "is a secret and is never written here", f"name {one_of(references)} instead" if references else None
    return "is an unknown key", did_you_mean(key, known) or (f"known keys: {', '.join(known)}" if known else None)


def _explain_type(kind: str, key: str, given: object, message: str) -> tuple[str, str | None]:
    shown = _shown(key, given)
    if kind == "too_short":
        return "must not be empty", None
    if kind in {"int_type", "float_type", "int_parsing", "float_parsing", "int_from_float"}:
        number = "a whole number" if kind.startswith("int") else "a number"
        unquoted = isinstance(given, str) and re.fullmatch(r"-?\d+(\.\d+)?", given.strip())
        return f"must be {number}, not {shown}", f"write {given} without quotes" if unquoted else None
    if kind == "string_type":
        plain = isinstance(given, int | float) and not isinstance(given, bool)
        return f"must be text, not {shown}", f'put it in quotes: "{given}"' if plain else None
    if kind in {"bool_type", "bool_parsing"}:
        word = str(given).lower()
        return f"must be true or false, not {shown}", f"write {word} without quotes" if word in {
            "true",
            "false",
        } else None
    if kind in {"tuple_type", "list_type"}:
        return f"must be a list, not {shown}", f"write [{shown}]" if isinstance(given, str) else None
    return f"{message[0].lower()}{message[1:]}, not {shown}", None


def _shown(key: str, given: object) -> str:
    """What the operator wrote, short, and never a secret."""
    if any(word in key.lower() for word in _SECRET_WORDS):
        return "what is written there"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, str):
        return f'"{given[:60]}"'
    if isinstance(given, dict):
        return "a table"
    if isinstance(given, list | tuple):
        return "a list"
    return str(given)[:60]


def _owner(model: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the model that holds the key at a nested location."""
    owner: type[BaseModel] | None = model
    for part in location:
        if owner is None or not isinstance(part, str) or part not in owner.model_fields:
            continue
        owner = _model_in(owner.model_fields[part].annotation)
    return owner


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def _describe(owner: type[BaseModel] | None, key: str) -> str | None:
    if owner is None or key not in owner.model_fields:
        return None
    text = owner.model_fields[key].description
    return f"it says: {text[0].lower()}{text[1:].rstrip('.')}" if text else None
