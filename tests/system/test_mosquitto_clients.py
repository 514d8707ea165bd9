"""Clients that nobody here wrote, on the gateway's own listener: paho, aiomqtt and mosquitto's command-line tools."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
import pytest
from mqtt_certificates import Authority
from mqtt_peer import BOUND_S, Peer, Shelf, ack_topic, listening, publish, scan_body, scan_topic
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from drivers.mqtt_listener import MqttListener


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority")).create()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def listener(authority: Authority, shelf: Shelf, tmp_path: Path) -> AsyncIterator[MqttListener]:
    """TLS and passwords, as a site runs it."""
    certificate, key = authority.issue("gateway", host="127.0.0.1")
    users = tmp_path / "devices.passwd"
    users.touch(0o600)
    for user in ("hh-7", "hh-8"):
        subprocess.run(["mosquitto_passwd", "-b", str(users), user, f"{user} secret"], check=True, capture_output=True)
    async with listening(shelf, users_file=users, certificate=certificate, key=key) as running:
        yield running


async def mosquitto_pub(
    listener: MqttListener, authority: Authority, *arguments: str
) -> subprocess.CompletedProcess[str]:
    broker = ["-h", "127.0.0.1", "-p", str(listener.address[1]), "--cafile", str(authority.certificate)]
    return await asyncio.to_thread(
        subprocess.run,
        ["mosquitto_pub", *broker, "-q", "1", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND_S,
    )


def credentials(user: str) -> list[str]:
    return ["-u", user, "-P", f"{user} secret", "-i", user, "-V", "5"]


async def test_mosquitto_pub_is_heard(listener: MqttListener, authority: Authority, shelf: Shelf) -> None:
    answer = await mosquitto_pub(
        listener, authority, *credentials("hh-7"), "-t", scan_topic("hh-7"), "-m", scan_body(1).decode()
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert [(one.device, one.message_id) for one in shelf.readings] == [("hh-7", "hh-7-000001")]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-V", "5"], "not authorized"),
        (["-V", "5", "-u", "hh-7", "-P", "guess"], "bad user name or password"),
        (["-V", "311", "-u", "hh-7", "-P", "hh-7 secret"], "protocol version"),
        (["-V", "5", "-u", "hh-7", "-P", "hh-7 secret", "-t", scan_topic("hh-8")], "not authorized"),
    ],
)
async def test_mosquitto_pub_is_told_why_not(
    listener: MqttListener, authority: Authority, shelf: Shelf, arguments: list[str], complaint: str
) -> None:
    if "-t" not in arguments:
        arguments = [*arguments, "-t", scan_topic("hh-7")]
    answer = await mosquitto_pub(listener, authority, *arguments, "-m", scan_body(1).decode())
    assert complaint in (answer.stderr + answer.stdout).lower()
    assert shelf.lists == []


async def test_mosquitto_pub_without_our_authority_in_sight_does_not_even_ask(
    listener: MqttListener, tmp_path: Path, shelf: Shelf
) -> None:
    other = Authority(tmp_path, "other").create()
    answer = await mosquitto_pub(listener, other, *credentials("hh-7"), "-t", scan_topic("hh-7"), "-m", "x")
    assert answer.returncode != 0
    assert shelf.lists == []


async def test_aiomqtt_hears_puback_and_acknowledgement(
    listener: MqttListener, authority: Authority, shelf: Shelf
) -> None:
    async with aiomqtt.Client(
        "127.0.0.1",
        listener.address[1],
        identifier="hh-7",
        username="hh-7",
        password="hh-7 secret",
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=authority.client_context(),
        timeout=BOUND_S,
    ) as client:
        await client.subscribe(ack_topic("hh-7"), qos=1)
        for number in range(20):
            await client.publish(scan_topic("hh-7"), scan_body(number), qos=1)
        heard = []
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            heard.append(json.loads(message.payload)["id"])
            if len(heard) == 20:
                break
    assert heard == [f"hh-7-{number:06d}" for number in range(20)]
    assert [one.message_id for one in shelf.readings] == heard


async def test_paho_redelivers_what_a_full_disk_refused(
    listener: MqttListener, authority: Authority, shelf: Shelf
) -> None:
    """Storage is unavailable twice; the library reconnects by itself and says everything again, in order."""
    from drivers import StorageUnavailable, Verdict

    shelf.answer = StorageUnavailable("the outbox is full")
    codes: list[int] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, "hh-7", protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set("hh-7", "hh-7 secret")
    client.tls_set_context(authority.client_context())
    client.reconnect_delay_set(1, 1)
    client.on_publish = lambda *call: codes.append(call[3].value)
    await asyncio.to_thread(client.connect, "127.0.0.1", listener.address[1])
    client.loop_start()
    for number in range(5):
        client.publish(scan_topic("hh-7"), scan_body(number), qos=1)
    await shelf.arrived(1)
    before = len(shelf.lists)
    shelf.answer = Verdict("stored")
    async with asyncio.timeout(BOUND_S):
        while len(codes) < 5:
            await asyncio.sleep(0.01)
    client.disconnect()
    client.loop_stop()
    assert codes == [0] * 5
    assert listener.stats.storage_refusals >= 1
    stored = [one.message_id for readings in shelf.lists[before:] for one in readings]
    assert list(dict.fromkeys(stored)) == [f"hh-7-{number:06d}" for number in range(5)]


@pytest.mark.fault(43)
async def test_two_thousand_sockets_and_one_handheld() -> None:
    """A broken switch or a port scan: new strangers are refused, the device that works goes on working."""
    shelf = Shelf()
    async with listening(shelf, connections_max=200) as listener:
        handheld = await Peer.hello(listener.address[1], "hh-7")
        loop = asyncio.get_running_loop()
        slowest_s, writers = 0.0, []
        for number in range(1, 2001):
            writers.append((await asyncio.open_connection("127.0.0.1", listener.address[1]))[1])
            if number % 100 == 0:
                began = loop.time()
                handheld.send(publish(number))
                assert (await handheld.receive()).packet_id == number
                slowest_s = max(slowest_s, loop.time() - began)
        assert len(shelf.readings) == 20
        assert listener.stats.connections_refused >= 1800
        assert slowest_s < BOUND_S
        for writer in writers:
            writer.close()
        await handheld.close()
