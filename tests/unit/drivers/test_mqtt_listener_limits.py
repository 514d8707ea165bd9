"""What hostile, broken and slow peers cost the listener: themselves."""

import asyncio
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mqtt5
import pytest
from mqtt5 import DisconnectReasonCode as Reason
from mqtt_certificates import Authority
from mqtt_peer import BOUND_S, Peer, Shelf, ack_topic, listening, publish, scan_body

from drivers import Verdict, mqtt_connection, mqtt_unread
from drivers.mqtt_listener import MqttListener
from drivers.password_file import PasswordFile, password_line


async def until(condition: Any, what: str) -> None:
    """Return once `condition()` holds; it is looked at in every turn of the loop."""
    async with asyncio.timeout(BOUND_S):
        while not condition():
            await asyncio.sleep(0)
    assert condition(), what


async def still_serves(listener: MqttListener, shelf: Shelf) -> None:
    """An honest handheld is heard."""
    before = len(shelf.readings)
    peer = await Peer.hello(listener.address[1], "hh-honest")
    peer.send(publish(1, device="hh-honest"))
    assert (await peer.receive()).packet_id == 1
    assert len(shelf.readings) == before + 1
    await peer.close()


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (publish(1, retain=True), Reason.RETAIN_NOT_SUPPORTED),
        (publish(1).replace(b"\x32", b"\x34", 1), Reason.QOS_NOT_SUPPORTED),
        (publish(1) + publish(1), Reason.PROTOCOL_ERROR),
        (b"\x30\x04\x00\x01#\x00", Reason.TOPIC_NAME_INVALID),
        (b"\x30\x05\x00\x02\xff\xfe\x00", Reason.MALFORMED_PACKET),
        (b"\x30\xff\xff\xff\x7f", Reason.PACKET_TOO_LARGE),
        (b"\x00\x00", Reason.MALFORMED_PACKET),
    ],
)
async def test_a_broken_protocol_ends_the_connection_and_says_why(packet: bytes, reason: Reason) -> None:
    shelf = Shelf()
    shelf.is_held = True
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        peer.send(packet)
        packets = await peer.receive_all()
        assert [packet.reason_code for packet in packets] == [reason]
        assert listener.stats.faults == 1
        shelf.is_held = False
        shelf.let_through()
        await still_serves(listener, shelf)
        await peer.close()


async def test_ten_megabytes_are_refused_from_the_header_and_the_peer_hears_it() -> None:
    """The reason must reach a peer that is still sending: a reset wipes it out of the socket of many a stack."""
    shelf = Shelf()
    async with listening(shelf) as listener:
        peer = await Peer.hello(listener.address[1])
        peer.send(publish(1, b"x" * 10_000_000))
        packets = await peer.receive_all()
        assert [packet.reason_code for packet in packets] == [Reason.PACKET_TOO_LARGE]
        assert not peer.was_reset
        assert (listener.stats.oversize, shelf.lists) == (1, [])
        await peer.close()


@pytest.mark.parametrize(("size", "is_taken"), [(2048, True), (2049, False)])
async def test_the_announced_packet_size_is_the_limit(size: int, is_taken: bool) -> None:
    async with listening(Shelf(), packet_bytes_max=2048) as listener:
        peer = await Peer.connect(listener.address[1])
        assert (await peer.introduce()).max_packet_size == 2048
        packet = publish(1, b" " * (size - len(publish(1, b" " * 500)) + 500))
        assert len(packet) == size
        peer.send(packet)
        assert isinstance(await peer.receive(), mqtt5.PubAckPacket if is_taken else mqtt5.DisconnectPacket)
        await peer.close()


@pytest.mark.parametrize("hello", ["100d00044d5154540402003c000161", "100f00064d51497364700302003c000161"])
async def test_an_older_mqtt_is_told_so_in_its_own_format(hello: str) -> None:
    async with listening(Shelf()) as listener:
        peer = await Peer.connect(listener.address[1])
        peer.send(bytes.fromhex(hello))
        assert await peer.reader.read() == bytes.fromhex("20020001")
        assert listener.stats.connections_refused == 1
        await peer.close()


@pytest.mark.parametrize(
    ("connect", "code"),
    [
        ({"authentication_method": "SCRAM"}, 0x8C),
        ({"will": mqtt5.Will("w", retain=True)}, 0x9A),
        ({"will": mqtt5.Will("w", qos=mqtt5.QoS.EXACTLY_ONCE)}, 0x9B),
    ],
)
async def test_a_connect_that_asks_for_what_is_not_there(connect: dict[str, Any], code: int) -> None:
    async with listening(Shelf()) as listener:
        peer = await Peer.connect(listener.address[1])
        assert int((await peer.introduce(**connect)).reason_code) == code
        assert await peer.receive() is None
        await peer.close()


async def test_whoever_does_not_introduce_itself_is_gone_soon() -> None:
    """Slow loris: a byte now and then, never a CONNECT."""
    async with listening(Shelf(), connect_timeout_s=0.1) as listener:
        peer = await Peer.connect(listener.address[1])
        peer.send(mqtt5.ConnectPacket("hh-7").write()[:5])
        assert await peer.receive() is None
        assert listener.stats.connections_refused == 1
        await peer.close()


class SlowHands(ThreadPoolExecutor):
    """Begins nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__(1)
        self.may_begin = threading.Event()
        self.is_held = False

    def submit(self, task: Any, /, *args: Any, **more: Any) -> Any:
        return super().submit(self._held, task, *args, **more)

    def _held(self, task: Any, *args: Any, **more: Any) -> Any:
        if self.is_held:
            assert self.may_begin.wait(BOUND_S)
        return task(*args, **more)


async def test_how_long_we_take_to_believe_a_device_is_not_its_fault(tmp_path: Path) -> None:
    """A thousand handhelds come back at once, and each password costs milliseconds. Whoever said in time who it is and
    is hung up on for our queue comes again, and makes the queue as long as it was."""
    file = tmp_path / "devices.passwd"
    file.write_text("hh-7:$6$c2FsdA==$" + _sha512("seven") + "\n")
    hands = SlowHands()
    async with listening(Shelf(), users_file=file, connect_timeout_s=0.1, executor=hands) as listener:
        hands.is_held = True
        peer = await Peer.connect(listener.address[1])
        peer.send(mqtt5.ConnectPacket("hh-7", username="hh-7", password=b"seven").write())
        assert await peer.is_quiet(), "longer than it may take to say who it is"
        hands.is_held = False
        hands.may_begin.set()
        connack = await peer.receive()
        assert connack is not None
        assert int(connack.reason_code) == 0
        await peer.close()
    hands.shutdown()


async def test_a_deadline_that_comes_late_is_not_held_against_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop was busy with other handshakes; this one may be whole in the socket."""
    monkeypatch.setattr(mqtt_connection, "LATE_S", -1.0)
    async with listening(Shelf(), connect_timeout_s=0.05) as listener:
        peer = await Peer.connect(listener.address[1])
        assert await peer.is_quiet()
        assert int((await peer.introduce()).reason_code) == 0
        await peer.close()


async def test_a_flood_of_silent_sockets_keeps_no_handheld_out_and_throws_none_out() -> None:
    """Two thousand connections that say nothing, while one handheld works and another arrives."""
    shelf = Shelf()
    async with listening(shelf, connections_max=20) as listener:
        seated = await Peer.hello(listener.address[1], "hh-seated")
        flood = []
        for _ in range(500):
            flood.append((await asyncio.open_connection("127.0.0.1", listener.address[1]))[1])
        await still_serves(listener, shelf)
        seated.send(publish(1, device="hh-seated"))
        assert (await seated.receive()).packet_id == 1
        assert listener.stats.connections_refused >= 480
        for writer in flood:
            writer.close()
        await seated.close()


async def test_a_flood_of_wrong_passwords_keeps_no_handheld_out(tmp_path: Path) -> None:
    """Each is believed or not in its turn; behind a queue of hundreds a device lost its place before it had one."""
    file = tmp_path / "devices.passwd"
    file.write_text("hh-7:$6$c2FsdA==$" + _sha512("seven") + "\n")
    hands = SlowHands()
    async with listening(Shelf(), users_file=file, connections_max=20, executor=hands) as listener:
        hands.is_held, port = True, listener.address[1]
        flood = await flooding(port)
        await until(lambda: listener.stats.connections_refused >= 20, "the flood has all the places")
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)))
        peer.send(mqtt5.ConnectPacket("hh-7", username="hh-7", password=b"seven").write())
        flood += await flooding(port)
        await until(lambda: listener.stats.connections_refused >= 60, "and takes them again and again")
        hands.is_held = False
        hands.may_begin.set()
        connack = await peer.receive()
        assert connack is not None, "it was not the one that made room"
        assert int(connack.reason_code) == 0
        for one in (*flood, peer):
            await one.close()
    hands.shutdown()


async def test_a_device_that_was_here_before_does_not_wait_for_those_with_wrong_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when they come from where it does: behind one router everybody has one address."""
    file = tmp_path / "devices.passwd"
    file.write_text("hh-7:$6$c2FsdA==$" + _sha512("seven") + "\n")
    verify, may_end = PasswordFile.verify, threading.Event()

    def slow(passwords: PasswordFile, user: str, password: bytes) -> bool:
        assert password == b"seven" or may_end.wait(BOUND_S)
        return verify(passwords, user, password)

    monkeypatch.setattr(PasswordFile, "verify", slow)
    with ThreadPoolExecutor(8) as hands:
        async with listening(Shelf(), users_file=file, executor=hands) as listener:
            port, known = listener.address[1], {"username": "hh-7", "password": b"seven"}
            await (await Peer.hello(port, "hh-7", **known)).close()
            flood = await flooding(port)
            try:
                again = await Peer.hello(port, "hh-7", **known)
            finally:
                may_end.set()
            for one in (*flood, again):
                await one.close()


async def flooding(port: int) -> list[Peer]:
    """Return forty strangers with a wrong password."""
    crowd = [await Peer.connect(port) for _ in range(40)]
    for one in crowd:
        one.send(mqtt5.ConnectPacket("x", username="hh-7", password=b"wrong").write())
    return crowd


async def test_when_all_places_are_taken_by_devices_the_newcomer_waits_outside() -> None:
    async with listening(Shelf(), connections_max=2) as listener:
        peers = [await Peer.hello(listener.address[1], f"hh-{number}") for number in range(2)]
        late = await Peer.connect(listener.address[1])
        assert await late.receive() is None
        await peers[0].close()
        await until(lambda: listener.stats.connections_refused == 1, "counted")
        for peer in (peers[1], late):
            await peer.close()


async def test_connections_of_one_device_are_bounded(tmp_path: Path) -> None:
    file = tmp_path / "devices.passwd"
    file.write_text("hh-7:$6$c2FsdA==$" + _sha512("seven") + "\n")
    async with listening(Shelf(), users_file=file, connections_per_device_max=2) as listener:
        peers = [await Peer.connect(listener.address[1]) for _ in range(4)]
        codes = []
        for peer, client_id in zip(peers, ("a", "b", "c", "b"), strict=True):
            connack = await peer.introduce(client_id, username="hh-7", password=b"seven")
            codes.append(int(connack.reason_code))
        assert codes == [0, 0, 0x97, 0], "a third connection is refused; one that takes over an old one is none more"
        for peer in peers:
            await peer.close()


async def test_a_device_that_makes_up_client_ids_pushes_out_no_session_of_another(tmp_path: Path) -> None:
    """Told "no session", the other would have to forget the scans it was never answered for."""
    file = tmp_path / "devices.passwd"
    file.write_text("".join(f"{user}:$6$c2FsdA==${_sha512('seven')}\n" for user in ("hh-7", "hh-8")))
    async with listening(Shelf(), users_file=file, connections_max=2, connections_per_device_max=2) as listener:

        async def come_and_go(user: str, client_id: str) -> bool:
            peer = await Peer.connect(listener.address[1])
            more: dict[str, Any] = {"username": user, "password": b"seven", "session_expiry_interval": 60}
            connack = await peer.introduce(client_id, clean_start=False, **more)
            peer.send(mqtt5.DisconnectPacket().write())
            assert await peer.receive_all() == []
            await peer.close()
            return connack.session_present

        assert not await come_and_go("hh-7", "tablet")
        for number in range(20):
            assert not await come_and_go("hh-8", f"made-up-{number}")
        assert await come_and_go("hh-7", "tablet"), "the session of somebody else is still kept"
        assert await come_and_go("hh-8", "made-up-19"), "and so are the last of its own"


def _sha512(password: str) -> str:
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha512(password.encode() + b"salt").digest()).decode()


async def test_a_device_that_reads_no_answers_loses_its_connection_and_costs_no_more_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mqtt_unread, "UNREAD_S", 0.3)
    shelf = Shelf()
    shelf.answer = Verdict("stored", events=("e" * 20_000,))
    async with listening(shelf, outbound_bytes_max=65_536) as listener:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", listener.address[1]))
        reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
        peer = Peer(reader, writer)
        await peer.introduce()
        await peer.subscribe(ack_topic("hh-7"))
        for number in range(2000):
            peer.send(publish(None, scan_body(number)))
        await until(lambda: listener.stats.slow_readers == 1, "dropped")
        shelf.answer = Verdict("stored")
        await still_serves(listener, shelf)
        await peer.close()


async def test_a_device_that_reads_its_answers_slowly_keeps_its_connection_and_gets_them_all() -> None:
    """A backlog over a radio that carries the answers worse than the scans. Whoever is dropped for that sends the
    whole backlog again, is as slow as before, and never gets through."""
    total, listed = 3_000, "e" * 4_000
    shelf = Shelf()
    shelf.answer = Verdict("stored", events=(listed,))
    async with listening(shelf, outbound_bytes_max=65_536) as listener:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", listener.address[1]))
        peer = Peer(*await asyncio.open_connection(sock=connection, limit=1024))
        await peer.introduce()
        await peer.subscribe(ack_topic("hh-7"))
        peer.send(*(publish(None, scan_body(number, "x" * 900)) for number in range(total)))
        await shelf.arrived(100)
        await until(lambda: listener_holds(listener), "it stopped to read")
        assert len(shelf.readings) < total
        for _ in range(total):
            packet = await peer.receive()
            assert isinstance(packet, mqtt5.PublishPacket), packet
        assert (len(shelf.readings), listener.stats.slow_readers) == (total, 0)
        await peer.close()


def listener_holds(listener: MqttListener) -> bool:
    """Nothing has been read for a hundred turns of the loop."""
    known = seen.setdefault(listener, [0, 0])
    known[1] = known[1] + 1 if known[0] == listener.stats.received else 0
    known[0] = listener.stats.received
    return known[1] > 100


seen: dict[MqttListener, list[int]] = {}


async def test_what_is_on_its_way_to_disk_is_bounded() -> None:
    """The disk stands still and a device pours: the listener stops reading, and reads on when the disk does."""
    shelf = Shelf()
    shelf.is_held = True
    async with listening(shelf, in_flight_bytes_max=65_536) as listener:
        peer = await Peer.hello(listener.address[1])
        bodies = [b'{"id":"hh-7-%d","code":"12345","x":"%s"}' % (number, b"x" * 10_000) for number in range(800)]
        for body in bodies:
            peer.send(publish(None, body))
        await shelf.arrived(1)
        assert await peer.is_quiet()
        assert sum(len(one.raw) for one in shelf.readings) < 1_000_000, "one socket read more than the limit, no more"
        shelf.is_held = False
        shelf.let_through()
        await shelf.arrived(800)
        await peer.close()


async def test_a_device_over_its_rate_is_read_more_slowly_and_loses_nothing() -> None:
    shelf = Shelf()
    async with listening(shelf, messages_per_s_max=200.0) as listener:
        peer = await Peer.hello(listener.address[1])
        started = asyncio.get_running_loop().time()
        for first in range(1, 301, 30):
            peer.send(*(publish(number) for number in range(first, first + 30)))
            for _ in range(30):
                assert isinstance(await peer.receive(), mqtt5.PubAckPacket)
        assert len(shelf.readings) == 300
        # A second's worth may come at once; the other hundred take their half second.
        assert asyncio.get_running_loop().time() - started >= 0.2
        await peer.close()


async def test_no_session_is_kept_for_longer_than_we_say() -> None:
    """A client hears how long it may stay away; one that stays longer has to know that it is forgotten."""
    async with listening(Shelf(), session_expiry_max_s=60) as listener:
        peer = await Peer.connect(listener.address[1])
        assert (await peer.introduce(session_expiry_interval=86_400)).session_expiry_interval == 60
        await peer.close()


async def test_a_device_that_falls_silent_is_noticed() -> None:
    async with listening(Shelf(), keep_alive_max_s=1) as listener:
        peer = await Peer.connect(listener.address[1])
        assert (await peer.introduce(keep_alive=0)).server_keep_alive == 1, "one that asks for none gets ours"
        packets = await peer.receive_all()
        assert [packet.reason_code for packet in packets] == [Reason.KEEP_ALIVE_TIMEOUT]
        assert listener.stats.silent == 1
        await peer.close()


async def test_a_device_taken_out_of_the_users_file_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stolen handheld is still connected when its line goes."""
    monkeypatch.setattr("drivers.mqtt_listener.USERS_CHECK_S", 0.02)
    file = tmp_path / "devices.passwd"
    lines = [f"{user}:$6$c2FsdA==${_sha512('seven')}\n" for user in ("hh-7", "hh-8")]
    file.write_text("".join(lines))
    async with listening(Shelf(), users_file=file) as listener:
        stolen = await Peer.hello(listener.address[1], "a", username="hh-7", password=b"seven")
        honest = await Peer.hello(listener.address[1], "b", username="hh-8", password=b"seven")
        file.write_text(lines[1])
        packets = await stolen.receive_all()
        assert [packet.reason_code for packet in packets] == [Reason.ADMINISTRATIVE_ACTION]
        honest.send(mqtt5.PingReqPacket().write())
        assert isinstance(await honest.receive(), mqtt5.PingRespPacket)
        for peer in (stolen, honest):
            await peer.close()


async def test_two_devices_with_one_client_id_are_told_of_and_one_that_roams_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each throws the other out and comes back: nobody would see why scans of both take so long."""
    async with listening(Shelf()) as listener:
        peers = [await Peer.hello(listener.address[1], "hh-7") for _ in range(2)]
        assert "session_contested" not in caplog.text
        peers += [await Peer.hello(listener.address[1], "hh-7") for _ in range(8)]
        assert caplog.text.count("session_contested device_id=hh-7 client_id='hh-7'") in (1, 2), "once a minute"
        assert listener.stats.taken_over == 9
        for peer in peers:
            await peer.close()


async def test_strangers_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(Shelf()) as listener:
        for _ in range(40):
            peer = await Peer.connect(listener.address[1])
            await peer.introduce("NOT\nAN ID")
            await peer.close()
        assert listener.stats.connections_refused == 40
        refusals = [record.getMessage() for record in caplog.records if "connection_refused" in record.getMessage()]
        assert 1 <= len(refusals) <= 20
        assert not any("\n" in line for line in refusals)


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority")).create()


async def test_a_certificate_is_the_device_and_a_message_in_a_tunnel_is_a_message(authority: Authority) -> None:
    certificate, key = authority.issue("gateway", host="127.0.0.1")
    shelf = Shelf()
    async with listening(shelf, certificate=certificate, key=key, client_ca=authority.certificate) as listener:
        port = listener.address[1]
        mine = authority.client_context(authority.issue("hh-7"))
        peer = await Peer.connect(port, context=mine)
        await peer.introduce("anything")
        peer.send(publish(1), publish(2, device="hh-8"))
        assert [int((await peer.receive()).reason_code) for _ in range(2)] == [0, 0x87]
        peer.send(b"\x00\x00")
        assert [one.reason_code for one in await peer.receive_all()] == [Reason.MALFORMED_PACKET]
        await peer.close()
        liar = await Peer.connect(port, context=mine)
        assert int((await liar.introduce("x", username="hh-8", password=b"")).reason_code) == 0x87
        await liar.close()
        nobody = await Peer.connect(port, context=authority.client_context(authority.issue("Not A Device", file="nad")))
        assert int((await nobody.introduce("x")).reason_code) == 0x87
        await nobody.close()


async def test_who_has_no_certificate_of_ours_does_not_get_in(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("gateway", host="127.0.0.1")
    stranger = Authority(tmp_path, "stranger").create()
    forged = authority.client_context(stranger.issue("hh-7"))
    shelf = Shelf()
    async with listening(shelf, certificate=certificate, key=key, client_ca=authority.certificate) as listener:
        for context in (authority.client_context(), forged):
            with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
                peer = await Peer.connect(listener.address[1], context=context)
                await peer.introduce()
        plain = await Peer.connect(listener.address[1])
        plain.send(mqtt5.ConnectPacket("hh-7").write())
        assert not isinstance(await asyncio.wait_for(plain.reader.read(2), BOUND_S) or None, mqtt5.ConnAckPacket)
        await until(lambda: listener.stats.connections_refused == 3, "all three counted")
        await plain.close()
    assert shelf.lists == []


async def test_a_handshake_that_never_ends_has_a_place_and_a_deadline(authority: Authority) -> None:
    certificate, key = authority.issue("gateway", host="127.0.0.1")
    async with listening(
        Shelf(), certificate=certificate, key=key, client_ca=authority.certificate, connect_timeout_s=0.2
    ) as listener:
        silent = await Peer.connect(listener.address[1])
        assert await silent.reader.read() == b""
        await until(lambda: listener.stats.connections_refused >= 1, "counted")
        await silent.close()


async def test_a_renewed_certificate_is_shown_to_the_next_device(authority: Authority, tmp_path: Path) -> None:
    """Certificates are renewed while a shift works; nobody restarts a gateway for it."""
    files = tmp_path / "gateway.pem", tmp_path / "gateway.key"

    def install(name: str) -> None:
        for target, source in zip(files, authority.issue(name, host="127.0.0.1"), strict=True):
            target.write_bytes(source.read_bytes())

    install("gateway-1")
    settings = {"certificate": files[0], "key": files[1], "client_ca": authority.certificate}
    async with listening(Shelf(), **settings) as listener:
        context = authority.client_context(authority.issue("hh-7"))
        for name in ("gateway-1", "gateway-2-renewed"):
            install(name)
            peer = await Peer.connect(listener.address[1], context=context)
            shown = dict(pair[0] for pair in peer.writer.get_extra_info("peercert")["subject"])
            assert shown["commonName"] == name
            await peer.close()
        files[0].write_text("half a certifi")
        peer = await Peer.connect(listener.address[1], context=context)
        assert int((await peer.introduce()).reason_code) == 0, "a half-written renewal stops nobody"
        await peer.close()


async def test_a_renewal_that_cannot_be_used_is_told_while_nobody_connects(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old certificate goes on, until it ends or the service is restarted: nobody would know before."""
    monkeypatch.setattr("drivers.mqtt_listener.USERS_CHECK_S", 0.01)
    users = tmp_path / "devices.passwd"
    users.write_text(password_line("hh-7", b"right"))
    certificate, key = authority.issue("gateway", host="127.0.0.1")
    good, other = key.read_bytes(), authority.issue("other", host="127.0.0.1")[1].read_bytes()
    async with listening(Shelf(), certificate=certificate, key=key, users_file=users) as listener, asyncio.timeout(60):
        assert listener.refused_files() == ()
        key.write_bytes(other)
        users.chmod(0o666)
        while len(listener.refused_files()) < 2:
            await asyncio.sleep(0.01)
        told = " ".join(listener.refused_files())
        assert f"{key}: key values mismatch" in told
        assert f"{users}: everybody may write it" in told
        key.write_bytes(good)
        users.chmod(0o600)
        while listener.refused_files():
            await asyncio.sleep(0.01)
    said = [record.getMessage() for record in caplog.records if "listener_file_refused" in record.getMessage()]
    assert any("key values mismatch" in one for one in said)
    assert any("everybody may write it" in one for one in said)
