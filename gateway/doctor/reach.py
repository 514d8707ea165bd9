"""Can a server be reached, and how long is its certificate good for? Connects and hangs up; sends nothing."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from datetime import datetime

from gateway.doctor.certificate import CertificateUnreadable, last_day

CONNECT_S = 3.0


@dataclass(frozen=True, slots=True)
class Reached:
    """What became of one attempt."""

    problem: str | None
    """Why not; None when it answered."""
    took_ms: int = 0
    certificate_ends: datetime | None = None
    error: BaseException | None = None


def reach(host: str, port: int, *, tls: ssl.SSLContext | None = None, server_name: str | None = None) -> Reached:
    """Open a connection, with TLS when a context is given, and close it. Never raises."""
    began = time.monotonic()
    try:
        with socket.create_connection((host, port), CONNECT_S) as plain:
            if tls is None:
                return Reached(None, _ms(began))
            with tls.wrap_socket(plain, server_hostname=server_name or host) as secure:
                der = secure.getpeercert(binary_form=True)
                return Reached(None, _ms(began), last_day(der) if der else None)
    except socket.gaierror as error:
        return Reached(f"the name {host} cannot be looked up", error=error)
    except TimeoutError as error:
        return Reached(f"{host}:{port} does not answer within {CONNECT_S:.0f} s", error=error)
    except ssl.SSLError as error:
        return Reached(f"TLS with {host}:{port} fails: {error.reason or error}", error=error)
    except (OSError, CertificateUnreadable) as error:
        return Reached(f"{host}:{port}: {getattr(error, 'strerror', None) or error}", error=error)


def _ms(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
