"""A certificate authority for one test, made with the openssl program."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """Issues certificates into a folder."""

    folder: Path
    name: str = "ca"

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def create(self) -> Authority:
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", f"/CN={self.name}", "-keyout", self.folder / f"{self.name}.key", "-out", self.certificate),
        )
        return self

    def issue(self, common_name: str, *, host: str | None = None, file: str | None = None) -> tuple[Path, Path]:
        """Certificate and key for a server at `host`, or for a client."""
        stem = file or common_name
        key, request, certificate = (self.folder / f"{stem}.{kind}" for kind in ("key", "csr", "pem"))
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={common_name}", "-keyout", key, "-out", request),
            *(("-addext", f"subjectAltName=IP:{host}") if host else ()),
        )
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / f"{self.name}.key"),
            *("-days", "2", "-copy_extensions", "copy", "-out", certificate),
        )
        return certificate, key

    def client_context(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a device that trusts this authority connects with."""
        context = ssl.create_default_context(cafile=self.certificate)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
