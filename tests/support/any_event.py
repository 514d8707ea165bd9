"""Any event the models allow, drawn from the models themselves: a member added to one is drawn the same day."""

import types
from datetime import date
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from gateway.events import model
from gateway.events.check_digit import check_digit

KEYS = {"^[0-9]{14}$": 14, "^[0-9]{18}$": 18}
"""Digits of a GTIN and an SSCC, by the pattern that says so."""
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.sampled_from(
        [
            "urn:epc:id:sgtin:9521321.012345.7%2F1",
            "urn:epc:id:sscc:9521321.1234567890",
            "urn:epc:raw:96.xE20000000000000000000001",
            "https://id.gs1.org/414/9521321000003",
            "urn:dockline:sku:dc07:A%3A1",
            "urn:dockline:nonsense",
            "asn", "purchase_order", "desadv", "pick_list",
            "receiving", "damaged", "mismatch_quantity", "no such word",
            "CEL", "EA", "0", "12.50", "-3", "true",
        ]
    ),
)  # fmt: skip
DATES = st.dates(date(2000, 1, 1), date(2099, 12, 31)).map(date.isoformat)
INSTANTS = st.builds(
    "{}T{}{}{}".format,
    DATES,
    st.times().map(lambda time: f"{time:%H:%M:%S}"),
    st.sampled_from(["", ".5", ".250", ".123456789", ".9996"]),
    st.sampled_from(["Z", "+00:00", "-00:00", "+01:00", "-09:30", "+14:00", "+19:59"]),
)
DECIMALS = st.one_of(
    st.sampled_from(["0", "1", "12.50", "0.000000001", "999999999999999999", "123456789012345678.123456789"]),
    st.integers(0, 10**6).map(str),
)
STATED = {"datacontenttype": "application/json", "specversion": "1.0"}


@st.composite
def event_of(draw: st.DrawFn, name: str, data_model: type[BaseModel]) -> dict[str, Any]:
    """An event as it is delivered, with its sequence."""
    data = draw(of_model(data_model))
    return {
        **STATED,
        "sequence": f"{draw(st.integers(1, 10**9)):020d}",
        "id": f"019aa5b0-1c00-7abc-8def-{draw(st.integers(0, 16**12 - 1)):012x}",
        "source": f"//{draw(st.sampled_from(['dc07', data['site'].replace('/', '-')]))}/dock-pc-1/0a1b2c3d4e5f",
        "type": model.event_type(name),
        "subject": data["station"],
        "time": data["occurred_at"],
        "dataschema": model.schema_urn(name),
        "data": data,
    }


def of_model(wanted: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    needed = {name: of_field(field) for name, field in wanted.model_fields.items() if field.is_required()}
    optional = {name: of_field(field) for name, field in wanted.model_fields.items() if not field.is_required()}
    return st.fixed_dictionaries(needed, optional=optional)


def of_field(field: FieldInfo) -> st.SearchStrategy[Any]:
    return of_type(field.annotation, tuple(field.metadata))


def of_type(wanted: Any, metadata: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return of_type(arguments[0], (*arguments[1:], *metadata))
    if origin in (Union, types.UnionType):
        return st.one_of(*(of_type(one, metadata) for one in arguments if one is not type(None)))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (tuple, list):
        return st.lists(of_type(arguments[0]), max_size=3)
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return of_model(wanted)
    if wanted is str:
        return of_text(metadata)
    if wanted is bool:
        return st.booleans()
    if wanted is int:
        return st.integers(1, 100)
    assert wanted is float, wanted
    return st.floats(-100, 100).map(lambda value: round(value, 1))


def of_text(metadata: tuple[Any, ...]) -> st.SearchStrategy[str]:
    pattern = next((str(one.pattern) for one in metadata if isinstance(one, StringConstraints) and one.pattern), None)
    if pattern is None:
        return TEXT
    if "T[0-9:]" in pattern:
        return INSTANTS
    if pattern.endswith("[0-9]{2}-[0-9]{2}$"):
        return DATES
    if pattern in KEYS:
        return key_of(KEYS[pattern])
    if "0|[1-9][0-9]{0,17}" in pattern:
        return DECIMALS
    return st.from_regex(pattern.replace("$", r"\Z"), fullmatch=True)


def key_of(length: int) -> st.SearchStrategy[str]:
    bodies = st.integers(0, 10 ** (length - 1) - 1).map(lambda number: f"{number:0{length - 1}d}")
    return bodies.map(lambda body: body + str(check_digit(body)))
