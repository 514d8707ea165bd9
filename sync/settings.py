"""What an operator may say about an upstream: one `[[upstream]]` table of the configuration.

`PumpSettings` is what every kind of upstream has, `HttpSettings` what those over HTTP add, and one class a kind the
rest. Keys, bounds and descriptions live here and nowhere else; `gateway.settings` nests the models and `dockline
check` explains them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
_CREDENTIAL = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"


def _http_url(text: str) -> str:
    try:
        url = urlsplit(text)
        port_is_sane = url.port is None or url.port > 0
    except ValueError as error:
        raise ValueError(f'"{text}" is not a URL: {error}') from None
    if url.scheme not in ("http", "https") or not url.hostname or not port_is_sane:
        raise ValueError('must be a URL such as "https://wms.example/v1/events"')
    if url.username is not None or url.password is not None:
        raise ValueError("must not hold a user or password; use token_file or token_credential")
    if url.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must hold no fragment, no blank and only ASCII characters")
    return text


HttpUrl = Annotated[str, AfterValidator(_http_url)]


class PumpSettings(BaseModel):
    """How one upstream is delivered to, whatever its protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=_NAME, description="Name of the upstream; its position is kept under it.")
    required: bool = Field(
        default=True,
        description="true: events are kept until this upstream has them. false: at the storage cap it skips some.",
    )
    start: Literal["now", "retained"] = Field(
        default="retained",
        description='Where a new upstream begins: with everything still retained, or with the events from "now" on.',
    )
    batch_events_max: int = Field(default=1000, ge=1, le=10_000, description="Events in one request, at most.")
    batch_bytes_max: int = Field(
        default=1_000_000, ge=1_000, le=64_000_000, description="Bytes in one request body before compression, at most."
    )
    linger_s: float = Field(
        default=0.05,
        ge=0,
        le=60,
        description=(
            "Shortest time between the starts of two requests that are not full. An event after a quiet spell leaves "
            "at once, a steady trickle shares a request; 0.05 means at most 20 requests a second and 50 ms of waiting."
        ),
    )
    orders_by: Literal["arrival", "sequence"] = Field(
        default="arrival",
        description=(
            '"arrival": the upstream takes events in the order they come in, so one request is in flight. '
            '"sequence": it sorts by `sequence` itself, so several may be.'
        ),
    )
    in_flight_max: int = Field(
        default=4, ge=1, le=32, description='Requests in flight with orders_by = "sequence"; else it is always 1.'
    )
    reject_max: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="More rejected events in a row than this is a broken centre: all are kept, none is quarantined.",
    )
    quarantine_owner: str = Field(
        default="",
        max_length=63,
        description="Who looks at events that this upstream rejects; shown with each event in quarantine.",
    )
    backoff_base_s: float = Field(
        default=0.5,
        gt=0,
        le=60,
        description="Ceiling of the first wait after a failure; it doubles with each one.",
    )
    backoff_max_s: float = Field(
        default=75.0,
        gt=0,
        le=3600,
        description="Ceiling of the waits. Drawn between 0 and the ceiling, so steady retries come at half of it.",
    )
    retry_after_max_s: float = Field(
        default=3600.0, ge=1, le=86_400, description="Longest `Retry-After` that is believed."
    )
    hold_retry_s: float = Field(
        default=25.0,
        gt=0,
        le=3600,
        description="How often a delivery on hold is tried again; at once when a credential or setting changes.",
    )


class HttpSettings(PumpSettings):
    """Whom to reach over HTTP, and as whom."""

    url: HttpUrl = Field(description="Address batches are POSTed to, e.g. https://wms.example/v1/events.")
    token_file: Path | None = Field(default=None, description="File with the bearer token; read again when it changes.")
    token_credential: str | None = Field(
        default=None,
        pattern=_CREDENTIAL,
        description="systemd credential with the bearer token, not token_file.",
    )
    timeout_s: float = Field(
        default=20.0, gt=0, le=300, description="Time for one request from connecting to the last byte of the answer."
    )
    answer_bytes_max: int = Field(
        default=1_000_000,
        ge=1_000,
        le=16_000_000,
        description="Largest answer read; a larger one is no answer.",
    )
    ca_file: Path | None = Field(
        default=None, description="Certificates of the authorities to trust instead of the system's (PEM)."
    )
    certificate: Path | None = Field(default=None, description="Client certificate (PEM), with `key`.")
    key: Path | None = Field(default=None, description="Private key of the client certificate (PEM).")
    server_name: str | None = Field(
        default=None, max_length=253, description="Name the server's certificate must bear when `url` holds an address."
    )

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if self.token_file is not None and self.token_credential is not None:
            raise ValueError("token_file and token_credential exclude each other")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if not self.url.startswith("https:") and (self.ca_file or self.certificate or self.server_name):
            raise ValueError("ca_file, certificate and server_name need an https url")
        return self

    def token_path(self, credentials: Path | None) -> Path | None:
        """Return the file of the token, credentials being resolved in the folder systemd made for us."""
        return _secret_path(self.token_file, self.token_credential, credentials)


class HttpEventsSettings(HttpSettings):
    """CloudEvents batches over HTTP: `kind = "http-events"`."""

    kind: Literal["http-events"] = Field(default="http-events", description="Protocol of the upstream.")
    acknowledge: Literal["named", "status"] = Field(
        default="named",
        description=(
            '"named": only events that the answer names count as delivered. "status": any 2xx takes the whole batch, '
            "for plain webhooks; a captive portal's 200 then counts too."
        ),
    )
    position_url: HttpUrl | None = Field(
        default=None, description="Address that says how far the upstream is; asked when a connection is new."
    )
    signing_secret_file: Path | None = Field(
        default=None,
        description="File with the Standard Webhooks secret (whsec_...); several, separated by blanks, while rotating.",
    )
    signing_secret_credential: str | None = Field(
        default=None, pattern=_CREDENTIAL, description="systemd credential with that secret, instead of the file."
    )
    compression: Literal["none", "gzip", "auto"] = Field(
        default="none",
        description=""""gzip" compresses every body, "auto" once the upstream's `Accept-Encoding` offers it.""",
    )

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if self.signing_secret_file is not None and self.signing_secret_credential is not None:
            raise ValueError("signing_secret_file and signing_secret_credential exclude each other")
        return self

    def signing_secret_path(self, credentials: Path | None) -> Path | None:
        """Return the file of the signing secret, as `token_path`."""
        return _secret_path(self.signing_secret_file, self.signing_secret_credential, credentials)


class EpcisCaptureSettings(HttpSettings):
    """EPCIS 2.0 documents to the capture interface of an event repository: `kind = "epcis-capture"`."""

    kind: Literal["epcis-capture"] = Field(default="epcis-capture", description="Protocol of the upstream.")
    batch_events_max: int = Field(default=200, ge=1, le=10_000, description="Events in one request, at most.")
    event_ids: Literal["uuid", "hash"] = Field(
        default="uuid",
        description=(
            'eventID of the EPCIS events: "uuid" is the id the event has everywhere else, "hash" the event hash id of '
            "CBV 2.0."
        ),
    )
    job_poll_s: float = Field(
        default=0.2,
        gt=0,
        le=60,
        description="First wait before the capture job is asked for; it doubles up to 25 times this.",
    )
    job_timeout_s: float = Field(
        default=300.0,
        gt=0,
        le=86_400,
        description="A capture job that runs for longer is given up and its events are captured again, same ids.",
    )

    def exchange(self) -> HttpEventsSettings:
        """Return what one request and its answer need to know."""
        shared = {name: getattr(self, name) for name in HttpSettings.model_fields}
        return HttpEventsSettings(**shared)


UpstreamSettings = HttpEventsSettings | EpcisCaptureSettings
"""One upstream, of whatever kind."""


def _secret_path(file: Path | None, credential: str | None, credentials: Path | None) -> Path | None:
    if file is not None:
        return file
    if credential is None:
        return None
    # Without the folder the path still names what is missing: the upstream holds and its alarm says so.
    return (credentials or Path("/run/credentials/dockline.service")) / credential
