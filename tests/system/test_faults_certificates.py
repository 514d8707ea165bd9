"""A centre that cannot prove who it is: it gets no request, the technician hears why, and scanning goes on.

One gateway, and behind its line one server after another that is wrong in its own way.
"""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from troubled_site import TroubledSite, troubled_site
from upstream_certificates import Authority, server_context

from simulators.centre import Centre

Figure = Callable[[str, int | float | str], None]


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Return certificate and key of a server that vouches for itself."""
    certificate, key = folder / "self.pem", folder / "self.key"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost"
        f" -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return certificate, key


def old_protocol(files: tuple[Path, Path]) -> ssl.SSLContext:
    """Return a server that speaks nothing newer than TLS 1.1."""
    context = server_context(files)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@contextlib.asynccontextmanager
async def instead(site: TroubledSite, tls: ssl.SSLContext) -> AsyncIterator[Centre]:
    """Put another server where the centre was; afterwards it is the centre's place again."""
    async with Centre(tls=tls) as impostor:
        right, site.network._far_end = site.network._far_end, (impostor.host, impostor.port)
        site.network.drop()
        try:
            yield impostor
        finally:
            site.network._far_end = right
            site.network.drop()


@pytest.mark.fault(36)
async def test_a_centre_that_cannot_prove_who_it_is_hears_nothing(tmp_path: Path, figure: Figure) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "Somebody Else")
    expired = authority.sign("expired", start="20200101000000Z", end="20210101000000Z")
    wrong = {
        "expired": (server_context(expired), "tls_clock", "no longer valid"),
        "another name": (
            server_context(authority.sign("other", names="DNS:other.example")), "tls_untrusted", "not valid for",
        ),
        "self-signed": (server_context(self_signed(tmp_path)), "tls_untrusted", "self-signed"),
        "unknown authority": (server_context(stranger.sign("good")), "tls_untrusted", "unable to get local issuer"),
        "TLS 1.1": (old_protocol(authority.sign("old")), "tls_failed", "TLS with"),
    }  # fmt: skip
    good = server_context(authority.sign("good"))
    async with troubled_site(tmp_path, tls=good, ca_file=str(authority.certificate)) as site:
        await site.scan(5)
        await site.settled()
        for name, (context, code, words) in wrong.items():
            async with instead(site, context) as impostor:
                await site.scan(5)
                alarm = await site.alarm(code)
                assert words in alarm["message"], name
                assert alarm["hint"], name
                # Tried again and again: what was refused once is refused always.
                failures = (await site.upstream())["failures"]
                async with asyncio.timeout(60):
                    while (await site.upstream())["failures"] < failures + 3:
                        pass
            figure(f"requests accepted ({name})", len(impostor.attempts))
            assert impostor.attempts == [], name
            await site.verdict()


@pytest.mark.fault(36)
async def test_a_flipped_bit_ends_the_connection_and_changes_no_event(tmp_path: Path, figure: Figure) -> None:
    authority = Authority(tmp_path / "ca")
    good = server_context(authority.sign("good"))
    async with troubled_site(tmp_path, tls=good, ca_file=str(authority.certificate)) as site:
        await site.scan(5)
        await site.settled()
        taken = len(site.centre.attempts)
        site.network.blow(flip_probability=1.0)
        await site.scan(10)
        await site.alarm("tls_failed", logged=False)
        assert len(site.centre.attempts) == taken
        site.network.blow(flip_probability=0.3)
        await site.scan(30)
        site.network.clear_up()
        await site.verdict()
        figure("contents that differ", len(site.centre.ledger.conflicts))
