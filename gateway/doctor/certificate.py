"""How long a certificate is still good for, read from its own bytes (X.509, RFC 5280 section 4.1)."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

WARN_DAYS = 30
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class CertificateUnreadable(ValueError):
    """These bytes are no certificate."""


def last_day(der: bytes) -> datetime:
    """Return when a certificate ends. Raises CertificateUnreadable."""
    try:
        certificate, _ = _inside(der, 0x30)
        to_be_signed, _ = _inside(certificate, 0x30)
        rest = to_be_signed
        if rest[0] == 0xA0:  # the version, when it is not the first
            _, rest = _inside(rest, 0xA0)
        for tag in (0x02, 0x30, 0x30):  # serial number, algorithm, issuer
            _, rest = _inside(rest, tag)
        validity, _ = _inside(rest, 0x30)
        _, rest = _inside(validity, validity[0])
        text, _ = _inside(rest, rest[0])
        shape = "%y%m%d%H%M%SZ" if rest[0] == 0x17 else "%Y%m%d%H%M%SZ"
        return datetime.strptime(text.decode("ascii"), shape).replace(tzinfo=UTC)
    except (IndexError, ValueError) as error:
        raise CertificateUnreadable("this is no certificate") from error


def first_to_end(path: Path) -> datetime:
    """Return when the first certificate of a PEM file to end does so. Raises CertificateUnreadable, OSError."""
    text = path.read_text("ascii", errors="replace")
    ends = []
    while _BEGIN in text:
        part, _, text = text[text.index(_BEGIN) :].partition(_END)
        try:
            ends.append(last_day(ssl.PEM_cert_to_DER_cert(part + _END)))
        except ValueError as error:
            raise CertificateUnreadable("this is no certificate") from error
    if not ends:
        raise CertificateUnreadable("there is no certificate in it")
    return min(ends)


def _inside(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the content of the element that `data` begins with, and what follows it."""
    if data[0] != tag:
        raise ValueError(f"element {data[0]:#x} instead of {tag:#x}")
    length, at = data[1], 2
    if length & 0x80:
        at = 2 + (length & 0x7F)
        length = int.from_bytes(data[2:at], "big")
    if at + length > len(data):
        raise ValueError("the element is cut off")
    return data[at : at + length], data[at + length :]
