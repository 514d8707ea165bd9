"""Fault matrix 36: a server that cannot prove who it is gets nothing, and the technician hears why."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from upstream_certificates import Authority, encrypted, server_context
from upstream_events import SOURCE, entries

from buffer.entry import Accepted
from simulators.centre import Centre, Policy
from simulators.network import Network
from sync import HttpEventsSettings, UpstreamHolds, UpstreamUnavailable, join_batch
from sync.http_events import HttpEvents

BATCH = join_batch(lambda _seq: SOURCE, entries(1, 2))


def turn_away(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Shake one hand as OpenSSL does, which says why it does not like a certificate; asyncio's server only hangs up."""
    connection, _ = listener.accept()
    with contextlib.suppress(OSError), connection:
        context.wrap_socket(connection, server_side=True).close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "Somebody Else")


OPENED: list[HttpEvents] = []


@pytest.fixture(autouse=True)
async def closed_at_the_end() -> AsyncIterator[None]:
    yield
    while OPENED:
        await OPENED.pop().aclose()


def sender(url: str, authority: Authority, *, wall_ms: int = 1_795_248_000_000, **settings: object) -> HttpEvents:
    made = HttpEventsSettings.model_validate(
        {"name": "centre", "url": url, "timeout_s": 5, "ca_file": authority.certificate, **settings}
    )
    upstream = HttpEvents(made, wall=lambda: wall_ms)
    OPENED.append(upstream)
    return upstream


async def refusal(centre: Centre, authority: Authority, **settings: object) -> UpstreamUnavailable:
    async with centre:
        upstream = sender(centre.url, authority, **settings)
        with pytest.raises(UpstreamUnavailable) as caught:
            await upstream.send(BATCH)
        assert centre.attempts == []
    return caught.value


async def test_a_good_certificate_is_accepted(authority: Authority) -> None:
    async with Centre(tls=server_context(authority.sign("good"))) as centre:
        upstream = sender(centre.url, authority)
        assert await upstream.send(BATCH) == [Accepted()] * 2


async def test_an_expired_certificate_is_named_with_the_time_we_believe_it_is(authority: Authority) -> None:
    files = authority.sign("expired", start="20200101000000Z", end="20210101000000Z")
    error = await refusal(Centre(tls=server_context(files)), authority)
    assert error.code == "tls_clock"
    assert "no longer valid" in str(error)
    assert "2026-11-21" in str(error)


async def test_a_certificate_of_the_future_points_to_our_clock(authority: Authority) -> None:
    """A PC without a battery wakes up in 1970."""
    files = authority.sign("future", start="20980101000000Z")
    error = await refusal(Centre(tls=server_context(files)), authority, wall_ms=3_600_000)
    assert error.code == "tls_clock"
    assert "not yet valid" in str(error)
    assert "1970-01-01 01:00" in str(error)
    assert error.hint is not None
    assert "clock" in error.hint


async def test_another_name_is_refused(authority: Authority) -> None:
    error = await refusal(Centre(tls=server_context(authority.sign("other", names="DNS:other.example"))), authority)
    assert error.code == "tls_untrusted"
    assert error.hint is not None
    assert "server_name" in error.hint


async def test_server_name_says_which_name_must_be_in_the_certificate(authority: Authority) -> None:
    async with Centre(tls=server_context(authority.sign("named", names="DNS:wms.example"))) as centre:
        upstream = sender(centre.url, authority, server_name="wms.example")
        assert await upstream.send(BATCH) == [Accepted()] * 2


async def test_an_unknown_authority_is_refused(authority: Authority, stranger: Authority) -> None:
    error = await refusal(Centre(tls=server_context(stranger.sign("good"))), authority)
    assert error.code == "tls_untrusted"
    assert error.hint is not None
    assert "ca_file" in error.hint


async def test_an_authority_that_is_added_to_the_system_counts_without_a_restart(
    authority: Authority, stranger: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The technician adds the authority of the proxy that inspects TLS, and nothing else changes."""
    system = tmp_path / "system.pem"
    system.write_bytes(stranger.certificate.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    async with Centre(tls=server_context(authority.sign("good"))) as centre:
        upstream = sender(centre.url, authority, ca_file=None)
        with pytest.raises(UpstreamUnavailable) as caught:
            await upstream.send(BATCH)
        assert caught.value.code == "tls_untrusted"
        system.write_bytes(authority.certificate.read_bytes())
        assert await upstream.send(BATCH) == [Accepted()] * 2


async def test_an_old_protocol_is_refused(authority: Authority) -> None:
    context = server_context(authority.sign("old"))
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert (await refusal(Centre(tls=context), authority)).code == "tls_failed"


async def test_a_handshake_that_never_ends_leaves_no_socket_behind(authority: Authority) -> None:
    """A black hole behind the TCP connection: one socket a try would exhaust the process within a day."""
    closed = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        closed.set()
        writer.close()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        upstream = sender(f"https://127.0.0.1:{port}/", authority, timeout_s=0.3)
        with pytest.raises(UpstreamUnavailable):
            await upstream.send(BATCH)
        async with asyncio.timeout(60):
            await closed.wait()


async def test_a_server_without_tls_hears_nothing(authority: Authority) -> None:
    async with Centre() as centre:
        upstream = sender(centre.url.replace("http:", "https:"), authority, timeout_s=0.3)
        with pytest.raises(UpstreamUnavailable):
            await upstream.send(BATCH)
        assert centre.attempts == []


async def test_a_flipped_bit_breaks_the_connection_not_the_event(authority: Authority) -> None:
    async with Centre(tls=server_context(authority.sign("flip"))) as centre:
        async with Network(centre.host, centre.port, seed=3) as network:
            upstream = sender(f"https://127.0.0.1:{network.port}/v1/events", authority)
            assert await upstream.send(BATCH) == [Accepted()] * 2
            network.blow(flip_probability=1.0)
            with pytest.raises(UpstreamUnavailable):
                await upstream.send(BATCH)
            network.clear_up()
            assert await upstream.send(BATCH) == [Accepted()] * 2
        assert centre.ledger.conflicts == []


async def test_a_client_certificate_is_shown_and_its_renewal_noticed(
    authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"

    def install(files: tuple[Path, Path]) -> None:
        for source, target in zip(files, (certificate, key), strict=True):
            fresh = tmp_path / "fresh"
            fresh.write_bytes(source.read_bytes())
            fresh.rename(target)

    install(stranger.sign("client"))
    context = server_context(authority.sign("mutual"), client_ca=authority.certificate)
    async with Centre(Policy(), tls=context) as centre:
        upstream = sender(centre.url, authority, certificate=certificate, key=key)
        with pytest.raises(UpstreamUnavailable):
            await upstream.send(BATCH)
        assert centre.attempts == []
        install(authority.sign("client"))
        assert upstream.refreshed()
        assert await upstream.send(BATCH) == [Accepted()] * 2
        assert not upstream.refreshed()


@pytest.mark.parametrize("which", ["missing", "rubbish", "encrypted key"])
async def test_tls_files_that_cannot_be_used_hold_and_say_so(which: str, authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.sign("client")
    if which == "missing":
        key = tmp_path / "nowhere.key"
    elif which == "rubbish":
        key = tmp_path / "rubbish.key"
        key.write_text("rubbish")
    else:
        key = encrypted(key, tmp_path / "encrypted.key")
    upstream = sender("https://127.0.0.1:1/", authority, certificate=certificate, key=key)
    with pytest.raises(UpstreamHolds) as caught:
        await upstream.send(BATCH)
    assert caught.value.code == "upstream_credential"


async def test_a_certificate_of_ours_that_has_ended_is_named_as_what_it_is(authority: Authority) -> None:
    """Nobody looks at the own file when it says SSLV3_ALERT_CERTIFICATE_EXPIRED."""
    certificate, key = authority.sign("ended", start="20200101000000Z", end="20210101000000Z")
    context = server_context(authority.sign("wary"), client_ca=authority.certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # in later ones the refusal may come behind the request
    with socket.create_server(("127.0.0.1", 0)) as listener:
        turning = asyncio.create_task(asyncio.to_thread(turn_away, listener, context))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1/events"
        with pytest.raises(UpstreamUnavailable) as caught:
            await sender(url, authority, certificate=certificate, key=key).send(BATCH)
        await turning
    assert str(caught.value) == "127.0.0.1 does not accept our certificate: certificate expired"
    assert caught.value.code == "tls_failed"
    assert "certificate" in str(caught.value.hint)


async def test_a_position_over_tls_is_verified_although_events_go_without(authority: Authority) -> None:
    """The position request carries the token, too."""
    async with Centre(tls=server_context(authority.sign("good"))) as centre:
        settings = HttpEventsSettings(name="centre", url="http://127.0.0.1:1/", position_url=centre.position_url)
        upstream = HttpEvents(settings, wall=lambda: 0)
        OPENED.append(upstream)
        with pytest.raises(UpstreamUnavailable) as caught:
            await upstream.position(SOURCE)
        assert caught.value.code == "tls_untrusted"
