"""The HTTP upstream against a centre over a real socket: headers, credentials, compression, position, chaos."""

import asyncio
import contextlib
import gc
import hashlib
import os
import socket
import struct
import threading
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_carrier import ScriptedCarrier, said
from upstream_events import SOURCE, entries, entry

from buffer.entry import Accepted
from simulators.centre import Centre, Policy
from simulators.centre_script import Act
from simulators.network import Network
from sync import Batch, HttpEventsSettings, NotAnAnswer, Position, UpstreamHolds, UpstreamUnavailable, join_batch
from sync.answer import Answer
from sync.errors import BatchRefused
from sync.http_events import HttpEvents
from sync.http_exchange import Request

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="


OPENED: list[HttpEvents] = []


@pytest.fixture(autouse=True)
async def closed_at_the_end() -> AsyncIterator[None]:
    yield
    while OPENED:
        await OPENED.pop().aclose()


def batch(first: int = 1, last: int = 3, *, chain: str = "") -> Batch:
    return join_batch(lambda _seq: SOURCE, entries(first, last), chain=chain)


def upstream(url: str, *, wall_ms: int | None = None, **settings: object) -> HttpEvents:
    made = HttpEventsSettings.model_validate({"name": "centre", "url": url, "timeout_s": 2, **settings})
    sender = HttpEvents(made, wall=(lambda: wall_ms) if wall_ms is not None else (lambda: 1_795_248_000_000))
    OPENED.append(sender)
    return sender


async def test_the_request_bears_what_a_consumer_needs() -> None:
    async with Centre() as centre:
        sender = upstream(centre.url)
        sent = batch(chain=f"{SOURCE}:3:ab12")
        await sender.send(sent)
        headers = centre.attempts[0].headers
        assert headers["content-type"] == "application/cloudevents-batch+json"
        digest = hashlib.sha256(sent.body).hexdigest()
        assert headers["idempotency-key"] == f'"{SOURCE}:1-3:{digest}"'
        assert headers["dockline-chain"] == f'"{SOURCE}:3:ab12"'
        assert headers["accept-encoding"] == "identity"
        assert "authorization" not in headers
        assert "webhook-id" not in headers
        assert centre.attempts[0].body == sent.body
        assert centre.ledger.sources[SOURCE].chain == (3, "ab12")


async def test_what_an_answer_claims_to_hold_is_remembered() -> None:
    async with Centre() as centre:
        sender = upstream(centre.url)
        assert sender.claimed_through == 0
        await sender.send(batch(1, 3))
        assert sender.claimed_through == 3
        centre.script.then(Act("through_beyond"))
        await sender.send(batch(4, 6))
        assert sender.claimed_through == 1_000_006


async def test_a_batch_that_is_meant_for_another_centre_is_not_taken() -> None:
    """The centre was put back to its backup between two requests and has not been asked yet where it is."""
    async with Centre(Policy(instance="before")) as centre:
        sender = upstream(centre.url, position_url=centre.position_url)
        meant = replace(batch(), instance="before")
        assert await sender.send(meant) == [Accepted()] * 3
        assert centre.attempts[0].headers["dockline-centre-instance"] == '"before"'
        centre.policy.instance = "after"
        with pytest.raises(UpstreamUnavailable) as caught:
            await sender.send(replace(batch(4, 6), instance="before"))
        assert caught.value.code == "centre_changed"
        assert len(centre.ledger.by_id) == 3


@pytest.mark.parametrize(
    ("instance", "is_asked", "named"),
    [
        ("w" * 199, True, f'"{"w" * 199}"'),
        ("w" * 200, True, None),  # it may be the head of a longer one
        ("b\u00fcro", True, None),
        ("line\nbreak", True, None),
        ("", True, None),
        (None, True, None),
        ("before", False, None),  # the setting is gone, and what was heard in its time may be long past
    ],
)
async def test_only_what_the_centre_would_know_again_is_named(
    instance: str | None, is_asked: bool, named: str | None
) -> None:
    async with Centre(Policy(instance=instance or "")) as centre:
        sender = upstream(centre.url, position_url=centre.position_url if is_asked else None)
        assert await sender.send(replace(batch(), instance=instance)) == [Accepted()] * 3
        assert centre.attempts[0].headers.get("dockline-centre-instance") == named


async def test_the_signature_verifies_and_only_the_timestamp_changes_over_attempts(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    now_ms = 1_795_248_000_000
    settings = HttpEventsSettings(name="centre", url="http://127.0.0.1:1/", signing_secret_file=secret)
    async with Centre(Policy(secret=SECRET), wall=lambda: now_ms / 1000) as centre:
        sender = HttpEvents(settings.model_copy(update={"url": centre.url}), wall=lambda: now_ms)
        OPENED.append(sender)
        centre.script.then(Act("applied_status", 503))
        with pytest.raises(UpstreamUnavailable):
            await sender.send(batch())
        now_ms += 60_000
        assert await sender.send(batch()) == [Accepted()] * 3
        first, second = (attempt.headers for attempt in centre.attempts)
        assert first["webhook-id"] == second["webhook-id"]
        assert "." not in first["webhook-id"]
        assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60
        assert first["webhook-signature"] != second["webhook-signature"]


async def test_a_wrong_secret_is_a_credential_problem(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    async with Centre(
        Policy(secret="whsec_" + "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI="), wall=lambda: 1_795_248_000
    ) as centre:
        with pytest.raises(UpstreamHolds):
            await upstream(centre.url, signing_secret_file=secret).send(batch())
    secret.write_text("whsec_short")
    with pytest.raises(UpstreamHolds) as caught:
        await upstream("http://127.0.0.1:1/", signing_secret_file=secret).send(batch())
    assert "whsec_short" not in str(caught.value)


async def test_an_error_page_that_repeats_the_request_does_not_tell_the_token(tmp_path: Path) -> None:
    """What a refusal says stands in quarantine, in the log and on the page."""

    def echo(request: Request) -> Answer:
        return said(400, f"<pre>Authorization: {request.headers['Authorization']}</pre>".encode())

    token = tmp_path / "token"
    token.write_text("SECRET-TOKEN")
    token.chmod(0o600)
    made = HttpEventsSettings.model_validate({"name": "centre", "url": "http://centre", "token_file": token})
    with pytest.raises(BatchRefused, match="Authorization: Bearer") as caught:
        await HttpEvents(made, wall=lambda: 0, carrier=ScriptedCarrier(echo)).send(batch())
    assert "SECRET" not in str(caught.value)


async def test_a_renewed_token_counts_without_a_restart(tmp_path: Path) -> None:
    """Fault matrix 30."""
    token = tmp_path / "token"
    token.write_text("old\n")
    token.chmod(0o600)
    async with Centre(Policy(token="new")) as centre:
        sender = upstream(centre.url, token_file=token)
        with pytest.raises(UpstreamHolds) as caught:
            await sender.send(batch())
        assert caught.value.code == "upstream_credential"
        assert not sender.refreshed()
        replacement = tmp_path / "token.new"
        replacement.write_text("new\n")
        replacement.chmod(0o600)
        replacement.rename(token)
        assert sender.refreshed()
        assert await sender.send(batch()) == [Accepted()] * 3
        assert not sender.refreshed()


async def test_a_token_from_a_systemd_credential(tmp_path: Path) -> None:
    (tmp_path / "centre-token").write_text("t")
    (tmp_path / "centre-token").chmod(0o400)
    async with Centre(Policy(token="t")) as centre:
        settings = HttpEventsSettings(name="centre", url=centre.url, token_credential="centre-token")
        sender = HttpEvents(settings, wall=lambda: 0, credentials=tmp_path)
        OPENED.append(sender)
        assert await sender.send(batch()) == [Accepted()] * 3


async def test_a_missing_token_holds_and_sends_nothing(tmp_path: Path) -> None:
    async with Centre() as centre:
        with pytest.raises(UpstreamHolds, match="token"):
            await upstream(centre.url, token_file=tmp_path / "token").send(batch())
        assert centre.attempts == []


async def test_no_token_goes_where_a_redirect_points(tmp_path: Path) -> None:
    """Fault matrix 35."""
    token = tmp_path / "token"
    token.write_text("SECRET-TOKEN")
    token.chmod(0o600)
    async with Centre() as centre, Centre() as stranger:
        centre.script.then(Act("redirect", location=stranger.url))
        sender = upstream(centre.url, token_file=token)
        with pytest.raises(UpstreamHolds, match=r"127\.0\.0\.1") as caught:
            await sender.send(batch())
        assert stranger.attempts == []
        assert "SECRET" not in f"{caught.value} {caught.value.hint}"


async def test_bodies_are_compressed_only_when_asked_or_offered() -> None:
    large = join_batch(lambda _seq: SOURCE, [entry(1, padding=5000)])
    for compression, says, expected in [
        ("none", True, [None, None]),
        ("gzip", False, ["gzip", "gzip"]),
        ("auto", False, [None, None]),
        ("auto", True, [None, "gzip"]),
    ]:
        async with Centre(Policy(says_gzip=says)) as centre:
            sender = upstream(centre.url, compression=compression)
            for _ in range(2):
                assert await sender.send(large) == [Accepted()]
            assert [attempt.headers.get("content-encoding") for attempt in centre.attempts] == expected


async def test_a_server_that_takes_no_gzip_gets_plain_bodies_from_then_on() -> None:
    large = join_batch(lambda _seq: SOURCE, [entry(1, padding=5000)])
    async with Centre(Policy(takes_gzip=False, says_gzip=True)) as centre:
        sender = upstream(centre.url, compression="gzip")
        for _ in range(2):
            assert await sender.send(large) == [Accepted()]
        assert [attempt.headers.get("content-encoding") for attempt in centre.attempts] == ["gzip", None, None]


@pytest.mark.parametrize("act", ["portal", "empty", "nonsense", "wrong_ids", "huge", "deep"])
async def test_a_200_that_names_nothing_of_ours_is_not_an_answer(act: str) -> None:
    """Fault matrix 34."""
    async with Centre() as centre:
        centre.script.then(Act(act))  # type: ignore[arg-type]
        sender = upstream(centre.url)
        with pytest.raises(NotAnAnswer):
            await sender.send(batch())
        assert await sender.send(batch()) == [Accepted()] * 3


async def test_an_endless_answer_is_read_no_further_than_its_limit() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
                await writer.drain()
                sent += 1000
        writer.close()

    async with await asyncio.start_server(endless, "127.0.0.1", 0) as server:
        sender = upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", answer_bytes_max=10_000)
        with pytest.raises(NotAnAnswer):
            await sender.send(batch())
        answer = await sender.ask("GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"")
        assert answer.is_cut
        assert len(answer.body) == 10_001
    assert sent < 50_000_000  # what sockets hold, and not what would come


async def test_an_answer_that_ignores_our_wish_for_plain_bytes_is_not_unpacked() -> None:
    """A gzip bomb unpacks to memory; nothing is unpacked."""
    carrier = ScriptedCarrier(lambda _: said(200, {"accepted_through": 3}, headers={"content-encoding": "gzip"}))
    settings = HttpEventsSettings(name="centre", url="http://centre.example/")
    with pytest.raises(NotAnAnswer):
        await HttpEvents(settings, wall=lambda: 0, carrier=carrier).send(batch())


@pytest.mark.parametrize("body", [b"<html>please log in", {"accepted_through": 0}], ids=["a portal", "another centre"])
async def test_who_answers_in_place_of_the_centre_is_not_asked_again_on_the_same_connection(body: object) -> None:
    """By the next attempt the portal may have let us through, or the name may lead elsewhere."""
    carrier = ScriptedCarrier(lambda _: said(200, body))
    settings = HttpEventsSettings(name="centre", url="http://c.example/", position_url="http://c.example/p")
    sender = HttpEvents(settings, wall=lambda: 0, carrier=carrier)
    with pytest.raises(NotAnAnswer):
        await sender.send(batch())
    assert carrier.closings == 1
    if isinstance(body, bytes):
        with pytest.raises(NotAnAnswer):
            await sender.position(SOURCE)
        assert carrier.closings == 2


@pytest.mark.parametrize(
    "weather",
    [{"cut_after_request": 100}, {"cut_after_answer": 20}, {"loses_answers": True}],
    ids=["request cut", "answer cut", "answer lost"],
)
async def test_a_line_that_breaks_is_unavailable_and_nothing_is_marked(weather: dict[str, int]) -> None:
    """Fault matrix 22, 24, 26."""
    async with Centre() as centre, Network(centre.host, centre.port) as network:
        sender = upstream(f"http://127.0.0.1:{network.port}/v1/events")
        network.blow(**weather)
        with pytest.raises(UpstreamUnavailable):
            await sender.send(batch())
        network.clear_up()
        assert await sender.send(batch()) == [Accepted()] * 3
        assert centre.ledger.conflicts == []


@pytest.mark.fault(26)
async def test_requests_that_broke_off_are_not_kept_in_memory() -> None:
    """A firewall resets every connection in mid-request, for a whole weekend. A connection that broke easily
    becomes a cycle of objects with the request inside, and in a quiet gateway nobody collects cycles for hours."""
    listener = socket.create_server(("127.0.0.1", 0))

    def reset() -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, _ = listener.accept()
                wire.recv(100_000)
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                wire.close()

    firewall = threading.Thread(target=reset)
    firewall.start()
    rows = [entry(1, padding=2_000_000)]
    sender = upstream(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(20):
            with pytest.raises(UpstreamUnavailable):
                await sender.send(join_batch(lambda _seq: SOURCE, rows))
        assert tracemalloc.get_traced_memory()[0] < 10_000_000
    finally:
        tracemalloc.stop()
        gc.enable()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        firewall.join(10)


async def test_a_black_hole_ends_at_the_deadline() -> None:
    """Fault matrix 22."""
    async with Centre() as centre, Network(centre.host, centre.port) as network:
        network.black_hole()
        sender = upstream(f"http://127.0.0.1:{network.port}/v1/events", timeout_s=0.2)
        with pytest.raises(UpstreamUnavailable, match="within"):
            async with asyncio.timeout(60):
                await sender.send(batch())
        await network.mend()
        assert await sender.send(batch()) == [Accepted()] * 3


async def test_an_answer_dripping_in_does_not_outlast_the_deadline() -> None:
    """A read time-out alone would start over with every byte."""
    async with Centre() as centre, Network(centre.host, centre.port) as network:
        network.blow(chunk_bytes=1, delay_s=0.01)
        sender = upstream(f"http://127.0.0.1:{network.port}/v1/events", timeout_s=0.3)
        with pytest.raises(UpstreamUnavailable, match="within"):
            await sender.send(batch(1, 30))


async def test_a_host_that_does_not_exist_is_unavailable() -> None:
    """Fault matrix 21."""
    with pytest.raises(UpstreamUnavailable, match=r"no connection to nowhere\.invalid"):
        await upstream("http://nowhere.invalid/").send(batch())


async def test_a_flipped_bit_in_the_answer_marks_nothing_falsely() -> None:
    async with Centre() as centre, Network(centre.host, centre.port, seed=5) as network:
        network.blow(flip_probability=1.0)
        sender = upstream(f"http://127.0.0.1:{network.port}/v1/events", timeout_s=1)
        for _ in range(10):
            try:
                outcomes = await sender.send(batch())
            except Exception as error:
                assert isinstance(error, UpstreamUnavailable | UpstreamHolds) or "400" in str(error)
                continue
            assert len(outcomes) == 3


async def test_the_position_is_asked_for_one_source() -> None:
    async with Centre(Policy(token=None, instance="c-7")) as centre:
        sender = upstream(centre.url, position_url=centre.position_url)
        await sender.send(batch())
        assert await sender.position(SOURCE) == Position(SOURCE, 3, "c-7")
        assert await sender.position("//other/gateway/e") == Position("//other/gateway/e", 0, "c-7")
    assert await upstream("http://127.0.0.1:1/").position(SOURCE) is None


async def test_an_instance_that_is_no_text_still_tells_two_centres_apart() -> None:
    """A lone surrogate cannot be stored; a centre that names itself so must not end its own delivery."""
    settings = HttpEventsSettings(name="centre", url="http://c.example/", position_url="http://c.example/p")
    named = set()
    for name in (b"\\ud800", b"\\ud801"):
        answer = said(200, b'{"accepted_through": 3, "centre_instance": "%s"}' % name)
        carrier = ScriptedCarrier(lambda _, answer=answer: answer)
        position = await HttpEvents(settings, wall=lambda: 0, carrier=carrier).position(SOURCE)
        assert position is not None
        named.add((position.instance or "").encode())
    assert len(named) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said(200, b"<html>"), NotAnAnswer),
        (said(200, {"accepted_through": "x"}), NotAnAnswer),
        (said(200, {"accepted_through": -1}), NotAnAnswer),
        (said(200, {"accepted_through": True}), NotAnAnswer),
        (said(503), UpstreamUnavailable),
        (said(401), UpstreamHolds),
        (said(302), UpstreamHolds),
    ],
)
async def test_a_position_that_is_none_is_not_made_up(answer: Answer, error: type[Exception]) -> None:
    settings = HttpEventsSettings(name="centre", url="http://c.example/", position_url="http://c.example/p")
    with pytest.raises(error):
        await HttpEvents(settings, wall=lambda: 0, carrier=ScriptedCarrier(lambda _: answer)).position(SOURCE)


async def test_the_environment_sends_nothing_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
    async with Centre() as centre:
        sender = upstream(centre.url)
        assert await sender.send(batch()) == [Accepted()] * 3


async def test_another_service_at_the_port_is_named_as_that() -> None:
    """Port 22 for 443: "the connection broke" would send the technician to look for a bad cable."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotAnAnswer, match="speaks no HTTP"):
            await upstream(f"http://127.0.0.1:{port}/v1/events").send(batch())


async def test_one_connection_serves_many_batches() -> None:
    async with Centre() as centre, Network(centre.host, centre.port) as network:
        sender = upstream(f"http://127.0.0.1:{network.port}/v1/events")
        for start in range(1, 40, 3):
            await sender.send(batch(start, start + 2))
        assert network.connections == 1
