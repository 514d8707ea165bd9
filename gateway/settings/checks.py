"""The settings of checks: rules, routes, places, and where expected documents come from."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from gateway.events.finding import ExceptionCode, Severity
from gateway.settings.section import FilePath, Section, Texts


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004
    number = Decimal(str(value))
    if not number.is_finite() or number < 0:
        raise ValueError("must be a number, 0 or more")
    return number


def _http_url(text: str) -> str:
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is not a URL: {error}') from None
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError('must be a URL such as "https://wms.example/v1/expectations"')
    if url.username is not None or url.password is not None:
        raise ValueError("must not hold a user or password; use token_file or token_credential")
    if url.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must hold no fragment, no blank and only ASCII characters")
    return text


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Number = Annotated[Decimal, PlainValidator(_decimal), WithJsonSchema({"type": "number", "minimum": 0})]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Hold = Literal["none", "item", "document"]


class RuleSettings(Section):
    id: Name
    """Name of the rule; exceptions carry it."""
    version: Annotated[int, Field(ge=1)]
    """Version of the rule; raise it with every change. Changes are in the audit."""
    author: Name
    """Who answers for the rule; exceptions carry it."""
    code: ExceptionCode
    """What the rule is about."""
    activities: Texts = ()
    """Only in these activities; absent: in all."""
    document_types: Texts = ()
    """Only for these kinds: asn, purchase_order, pick_list, count_sheet, transfer, rma; absent: for all."""
    suppliers: Texts = ()
    """Only for these suppliers, as the documents name them; "*" stands for anything. Absent: for all."""
    items: Texts = ()
    """Only for these GTINs (14 digits), item numbers or texts; "*" stands for anything. Absent: for all."""
    tolerance_absolute: Number | None = None
    """So many units more or fewer are no exception. Of several tolerances each has to hold."""
    tolerance_percent: Number | None = None
    """So many per cent of what is expected are no exception."""
    tolerance_value: Number | None = None
    """A difference worth so much, in the currency of the document, is no exception."""
    shelf_life_days_min: Annotated[int, Field(ge=0)] = 0
    """For expired: days that must be left."""
    hold: Hold = "none"
    """What is on hold while an exception of this rule is open: further scans of the "item" in this document, or of the
    whole "document", are stored and say so."""
    enabled: bool = True
    """false: what this rule applies to is not checked for its code."""


class RouteSettings(Section):
    codes: Texts = ()
    """Only exceptions of these codes; absent: of all."""
    document_types: Texts = ()
    """Only for these kinds of documents."""
    suppliers: Texts = ()
    """Only for these suppliers."""
    direction: Literal["short", "over"] | None = None
    """Only what is missing, or only what is too much."""
    variance_absolute_min: Number | None = None
    """Only from so many units of difference."""
    variance_percent_min: Number | None = None
    """Only from so many per cent of difference."""
    value_min: Number | None = None
    """Only from a difference worth so much, in the currency of the document."""
    owner: Name | None = None
    """Who has to act; absent: as built in for the code."""
    severity: Severity | None = None
    """How grave it is; absent: as built in for the code."""
    due_s: Annotated[int, Field(ge=1)] | None = None
    """Until it is overdue, in seconds of operating time; absent: as built in for the code."""
    invoice_relevant: bool | None = None
    """Whether the invoice has to wait for it; absent: as built in for the code."""
    escalate_to: Name | None = None
    """Who gets it when it is overdue; absent: as built in for the code."""


class PlaceSettings(Section):
    id: Name
    """Name of the rule; exceptions carry it."""
    version: Annotated[int, Field(ge=1)]
    """Version of the rule; raise it with every change."""
    author: Name
    """Who answers for the rule."""
    locations: Annotated[tuple[str, ...], BeforeValidator(_tuple), Field(min_length=1)]
    """The places it is about; "*" stands for anything."""
    allow_items: Texts = ()
    """What may be put there, by GTIN (14 digits), item number or text; absent: anything."""
    forbid_items: Texts = ()
    """What must not be put there."""
    forbid: bool = False
    """true: nothing may be put there."""
    hold: Hold = "none"
    """As for rules."""


class ChecksSettings(Section):
    enabled: bool | None = None
    """true: scans are checked; false: they are not. Absent: they are as soon as there is anything to check by, which is
    an address of expectations, a rule, an expected document, or command labels (they close documents)."""
    keep_days: Annotated[float, Field(gt=0)] = 30
    """How long closed documents and resolved exceptions are kept here, in days of operating time."""
    sync_failure_after_s: Annotated[float, Field(gt=0)] = 900
    """After this long without a delivery that is owed, an upstream is an exception, in seconds."""
    clock_after_s: Annotated[float, Field(gt=0)] = 3600
    """After this long without a time service that vouches for the clock, that is an exception, in seconds."""
    rules: Annotated[tuple[RuleSettings, ...], BeforeValidator(_tuple)] = ()
    """How far apart expected and observed may be."""
    routes: Annotated[tuple[RouteSettings, ...], BeforeValidator(_tuple)] = ()
    """Who owns an exception, how grave it is, by when; the first that fits counts."""
    locations: Annotated[tuple[PlaceSettings, ...], BeforeValidator(_tuple)] = ()
    """What may be put where."""


class ExpectationsSettings(Section):
    url: HttpUrl | None = None
    """Address that expected documents and decisions about exceptions are fetched from; absent: they are not."""
    interval_s: Annotated[float, Field(ge=1, le=86400)] = 60
    """How often it is asked whether anything is new, in seconds."""
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 60
    """Longest time without a byte of the answer, in seconds; one that keeps coming may take an hour."""
    bytes_max: Annotated[int, Field(ge=1024, le=256 * 1024**2)] = 64 * 1024**2
    """Largest answer, file or body of expected documents, in bytes."""
    token_file: FilePath | None = None
    """File with the bearer token; read again when it changes."""
    token_credential: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")] | None = None
    """systemd credential with the bearer token, not token_file."""
    ca_file: FilePath | None = None
    """Certificates of the authorities to trust instead of the system's (PEM)."""
