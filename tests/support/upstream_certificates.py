"""Certificates for TLS tests, made with the openssl command: an authority and servers with all that can be wrong."""

import ssl
import subprocess
from pathlib import Path

_CA_CONFIG = """
[ca]
default_ca = authority
[authority]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = anything
unique_subject = no
[anything]
commonName = supplied
[server]
subjectAltName = {names}
"""


class Authority:
    """Signs certificates that are valid in a window of one's choice."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01\n")
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
            "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def sign(
        self, name: str, *, names: str = "DNS:localhost,IP:127.0.0.1", start: str = "20200101000000Z",
        end: str = "20990101000000Z",
    ) -> tuple[Path, Path]:  # fmt: skip
        """Return certificate and key of a new server or client."""
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        request, config = self._folder / f"{name}.csr", self._folder / f"{name}.cnf"
        config.write_text(_CA_CONFIG.format(folder=self._folder, names=names))
        _openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request,
        )  # fmt: skip
        _openssl(
            "ca", "-batch", "-notext", "-config", config, "-extensions", "server", "-cert", self.certificate,
            "-keyfile", self._key, "-startdate", start, "-enddate", end, "-in", request, "-out", certificate,
        )  # fmt: skip
        return certificate, key


def server_context(files: tuple[Path, Path], *, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def encrypted(key: Path, target: Path) -> Path:
    """Return a copy of the key behind a passphrase."""
    _openssl("pkey", "-in", key, "-aes128", "-passout", "pass:secret", "-out", target)
    return target


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
