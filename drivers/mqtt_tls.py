"""TLS for both MQTT drivers.

TLS 1.2 or newer and the ciphers that Python's OpenSSL calls default: nothing here weakens them and nothing is
configurable to. On the listener a certificate that the device shows is its identity: the common name is the device id.
Files are read again when they change, so a renewed certificate needs no restart: new connections see the new one.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from drivers.contract import DeviceFault, os_words
from drivers.file_version import FileVersion, file_version


class ServerTls:
    """The listener's certificate and the authority of the devices' certificates."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None, *, client_required: bool) -> None:
        """`client_required`: a device without a certificate is turned away in the handshake."""
        self._files = [certificate, key, *([client_ca] if client_ca else [])]
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._client_required = client_required
        self._version: tuple[FileVersion, ...] | None = None
        self._context: ssl.SSLContext | None = None
        self.refused: str | None = None
        """Why the files as they are now cannot be used, while those from before go on."""

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection. Blocks on small files; raises DeviceFault."""
        try:
            version = tuple(map(file_version, self._files))
            if self._context is None or version != self._version:
                self._context = self._load()
                self._version = version
            self.refused = None
        except (OSError, ssl.SSLError) as error:
            # A half-written renewal must not stop the devices that connect meanwhile.
            self.refused = f"{', '.join(map(str, self._files))}: {_reason(error)}"
            if self._context is None:
                raise DeviceFault(
                    f"TLS files {', '.join(map(str, self._files))}: {error}",
                    hint="see certificate, key and client_ca in [mqtt.listener]; are they PEM, and do they match?",
                ) from error
        return self._context

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)
        if self._client_ca is not None:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if self._client_required else ssl.CERT_OPTIONAL
        return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return os_words(error)


def client_context(ca_file: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Return the context for a connection to a broker: its name and chain are checked. Raises DeviceFault."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (ca_file, certificate, key) if path is not None)
        raise DeviceFault(
            f"TLS files {files}: {error}", hint="see ca_file, certificate and key in [mqtt.broker]; are they PEM?"
        ) from error
    return context


def common_name(peer_certificate: object) -> str | None:
    """Return the common name of the certificate a peer showed (`SSLObject.getpeercert()`), None without one."""
    if not isinstance(peer_certificate, dict):
        return None
    names = [
        value
        for relative_name in peer_certificate.get("subject", ())
        for attribute, value in relative_name
        if attribute == "commonName"
    ]
    # Two names in one certificate are two claims; neither is believed.
    return names[0] if len(names) == 1 else None


def fault_of(error: ssl.SSLError) -> DeviceFault:
    """Return what a person should hear about a broker whose TLS we refused."""
    reason = getattr(error, "verify_message", None) or error.reason or str(error)
    hint = "see ca_file, certificate and key in [mqtt.broker]"
    if "expired" in reason or "not yet valid" in reason:
        hint = f"is the clock of this machine right? otherwise renew the broker's certificate; {hint}"
    return DeviceFault(f"TLS with the broker failed: {reason}", hint=hint)
