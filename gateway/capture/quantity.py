"""How much a scan is about: what a person states, what its label counts and measures, else one as labelled.

    stated, with a unit    a message's quantity and unit: what a person weighed or counted, whatever the label says
    stated                 a message's quantity, a quantity label or command, or the quantity of a site's own label
    on the label           AI 30 of the item itself, AI 37 contained in AI 02: trade items
    none of these          one, as labelled

Measures (net weight, length, area, volume of an item of variable measure) stand beside the number. The label's are of
all that it is about: of the pieces it counts, of the contents of a logistic unit. A number that somebody states is a
number of such labels, so it multiplies them. Where the label counts too, somebody who states another number corrects
that count: nobody knows what that many weigh, and no measure is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from drivers.reading import ScanContext
from gateway.capture.decimal_text import decimal_text
from gateway.capture.label import Label
from gateway.capture.station import Session
from gateway.events.model import UNIT_EACH
from gateway.events.unit import MEASURES, shown_decimals

Measures = tuple[tuple[str, str], ...]
"""Decimal string and UN/ECE Recommendation 20 code, in the order of the label."""
Basis = Literal["", "label", "stated", "stated_with_unit"]
"""Who said how many: nobody (one, as labelled); the label, in trade items, corrected or not; a person, a message or the
site's own label, with a unit or without."""


class CapturedQuantity(NamedTuple):
    """How much one scan is about."""

    value: str = "1"
    """Decimal string."""
    unit: str | None = None
    """UN/ECE Recommendation 20 code that somebody stated; None: nobody did."""
    basis: Basis = ""
    measures: Measures = ()
    """Of all of it."""


ONE: Final = CapturedQuantity()
_ONE_PART: Final = f',"quantity":{{"value":"1","unit":"{UNIT_EACH}"}}'


def captured_quantity(context: ScanContext, session: Session, label: Label) -> CapturedQuantity:
    """Return how much a scan is about. The context has been found to be in order."""
    stated = decimal_text(context.quantity) if context.quantity is not None else session.quantity
    if stated is None and context.unit is None and label.quantity is None and not label.measures:
        return ONE  # nearly every scan
    unit = context.unit
    if stated is None and unit in MEASURES:
        unit = None  # nobody measured anything: the label counts and measures by itself
    value = stated or label.quantity or "1"
    basis: Basis = ""
    if unit is not None:
        basis = "stated_with_unit"
    elif label.counts and (stated is None or label.measures):
        basis = "label"
    elif stated is not None or label.quantity is not None:
        basis = "stated"
    return CapturedQuantity(value, unit, basis, _measures(label, stated, unit))


def quantity_part(quantity: CapturedQuantity) -> str:
    """Return it as members of an event."""
    if quantity is ONE:
        return _ONE_PART  # nearly every scan
    value, unit, basis, measures = quantity
    said = f',"basis":"{basis}"' if basis else ""
    part = f',"quantity":{{"value":"{value}","unit":"{unit or UNIT_EACH}"{said}}}'
    if measures:
        listed = ",".join([f'{{"value":"{amount}","unit":"{code}"}}' for amount, code in measures])
        part += f',"measures":[{listed}]'
    return part


def told_quantity(data: Mapping[str, object]) -> CapturedQuantity:
    """Return what `quantity_part` was given, from the data of an event. Raises LookupError, TypeError, ValueError.

    An event of an older program has no basis and no measures: its net weight is that of one label.
    """
    quantity = data["quantity"]
    assert isinstance(quantity, Mapping), "a quantity is an object"
    value, unit, basis = quantity["value"], quantity["unit"], quantity.get("basis", "")
    listed = data.get("measures", ())
    assert isinstance(listed, list | tuple), "measures are a list"
    measures: Measures = tuple((one["value"], one["unit"]) for one in listed)
    if not measures and not basis and value == "1" and unit == UNIT_EACH and "net_weight_kg" in data:
        measures = ((str(data["net_weight_kg"]), "KGM"),)
    return CapturedQuantity(value, unit if basis == "stated_with_unit" or unit != UNIT_EACH else None, basis, measures)


def _measures(label: Label, stated: str | None, unit: str | None) -> Measures:
    if not label.measures or unit in MEASURES:
        return ()  # what somebody weighed goes before what the label says
    if stated is None or (label.counts and stated == label.quantity):
        return label.measures
    if label.counts:
        return ()
    times = Decimal(stated)
    return tuple([(_text(Decimal(value) * times), code) for value, code in label.measures])


def _text(value: Decimal) -> str:
    return decimal_text(f"{shown_decimals(value):f}") or "999999999999999999"
