"""TLS towards an upstream: what is trusted, and what a failure means to a technician.

The server is always verified; there is no switch to turn it off. A PC without a battery-backed clock starts in the
past, and then every certificate is "not yet valid": that failure is named as what it is, trouble with a clock, because
nobody looks at the clock when a log says "certificate verify failed".
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from sync.errors import UpstreamHolds, UpstreamUnavailable
from sync.settings import HttpSettings

# OpenSSL x509_vfy.h
_NOT_YET_VALID = 9
_EXPIRED = 10
_NAME_MISMATCH = frozenset({62, 64})
_UNTRUSTED = frozenset({18, 19, 20, 21})


def tls_context(settings: HttpSettings) -> ssl.SSLContext:
    """Return a context for the settings. Raises UpstreamHolds when a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            # A password prompt would block the daemon for ever: an encrypted key is refused instead.
            context.load_cert_chain(settings.certificate, settings.key, password="")
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
        raise UpstreamHolds(
            f"the TLS files of this upstream cannot be used: {text}",
            hint="check ca_file, certificate and key: PEM, readable by the service's user, the key without passphrase",
            code="upstream_credential",
        ) from None
    return context


def tls_files(settings: HttpSettings) -> tuple[Path, ...]:
    """Return the files the context is made from."""
    return tuple(path for path in (settings.ca_file, settings.certificate, settings.key) if path is not None)


def tls_failure(error: BaseException, host: str, wall_ms: int) -> UpstreamUnavailable | None:
    """Return the error that explains a TLS failure among the causes of `error`; None when there is none."""
    found = _find_tls(error)
    if found is None:
        return None
    if (words := _said_of_ours(found)) is not None:
        return UpstreamUnavailable(
            f"{host} does not accept our certificate: {words}",
            hint="see `certificate` and `key`: `dockline doctor` says how long they are good; else ask the centre",
            code="tls_failed",
        )
    if not isinstance(found, ssl.SSLCertVerificationError):
        return UpstreamUnavailable(
            f"TLS with {host} failed: {getattr(found, 'reason', None) or 'the connection broke'}",
            hint="is it an https port, speaking TLS 1.2 or newer, and does the centre know our certificate?",
            code="tls_failed",
        )
    if found.verify_code in (_NOT_YET_VALID, _EXPIRED):
        now = datetime.fromtimestamp(min(max(wall_ms, 0), 253_402_300_799_000) / 1000, UTC)
        which = "not yet valid" if found.verify_code == _NOT_YET_VALID else "no longer valid"
        return UpstreamUnavailable(
            f"the certificate of {host} is {which} by this computer's clock, which says {now:%Y-%m-%d %H:%M} UTC",
            hint="is that the right time? If not, set the clock (timedatectl); if so, the centre must renew it",
            code="tls_clock",
        )
    if found.verify_code in _NAME_MISMATCH:
        hint = "use the host name of the certificate in `url`, or set `server_name`"
    elif found.verify_code in _UNTRUSTED:
        hint = "set `ca_file` to the authority that signed it; a proxy that inspects TLS looks like this"
    else:
        hint = "ask the centre's operator for a certificate that verifies"
    return UpstreamUnavailable(
        f"the certificate of {host} is not trusted: {found.verify_message}", hint=hint, code="tls_untrusted"
    )


def _said_of_ours(error: ssl.SSLError) -> str | None:
    """Return what the other end's alert says about our certificate (RFC 8446, section 6.2); None for anything else."""
    _, alert, words = (getattr(error, "reason", None) or "").lower().replace("_", " ").partition("alert ")
    return words if alert and ("certificate" in words or words == "unknown ca") else None


def _find_tls(error: BaseException | None) -> ssl.SSLError | None:
    """Walk the causes."""
    for _ in range(10):
        if error is None:
            return None
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None
