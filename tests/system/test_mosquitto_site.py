"""A real mosquitto with the configuration we ship, real client libraries, and the subscriber behind it."""

import asyncio
import contextlib
import random
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from mqtt_peer import BOUND_S, SITE, Shelf, ack_topic, scan_body, scan_topic
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from drivers import DeviceFault, LinkLost
from drivers.mqtt_subscriber import BrokerSettings, MqttSubscriber
from simulators.broker import Broker
from simulators.handheld import Handheld, HandheldPlan

CONFIG = Path(__file__).parents[2] / "config"
PASSWORDS = {"dockline": "gateway", "hh-7": "seven", "hh-8": "eight"}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """mosquitto as config/mosquitto.conf sets it up; only the paths and the port are the test's."""
    users = tmp_path / "dockline.passwd"
    users.touch(0o600)
    for user, password in PASSWORDS.items():
        subprocess.run(["mosquitto_passwd", "-b", str(users), user, password], check=True, capture_output=True)
    shipped = (CONFIG / "mosquitto.conf").read_text()
    changed = {
        "listener 1883 127.0.0.1\n": "",
        "/etc/mosquitto/dockline.passwd\nacl": f"{users}\nacl",
        "/etc/mosquitto/dockline.acl": str(CONFIG / "mosquitto.acl"),
        "autosave_interval 10\n": "autosave_interval 1\n",
    }
    for ours, the_tests in changed.items():
        assert ours in shipped
        shipped = shipped.replace(ours, the_tests)
    # What Debian's own mosquitto.conf sets before it includes ours: a second value would keep the broker from starting.
    debian = f"persistence true\npersistence_location {tmp_path}/broker/\n"
    async with Broker(tmp_path / "broker", debian + shipped) as running:
        yield running


def subscriber(broker: Broker, tmp_path: Path, **settings: Any) -> MqttSubscriber:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORDS["dockline"])
    given = {"username": "dockline", "password_file": secret, **settings}
    return MqttSubscriber(
        "mqtt-broker", BrokerSettings(url=f"mqtt://127.0.0.1:{broker.port}", **given), site=SITE, client_id="gateway"
    )


@contextlib.asynccontextmanager
async def subscribed(driver: MqttSubscriber, shelf: Shelf) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(driver.run(shelf.emit))
    ready = asyncio.ensure_future(driver.subscribed.wait())
    try:
        await asyncio.wait({task, ready}, timeout=BOUND_S, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield task
    finally:
        ready.cancel()
        task.cancel()
        await asyncio.wait({task, ready}, timeout=BOUND_S)


def published(broker: Broker, user: str, topic: str, *bodies: bytes) -> list[int]:
    """Publish at QoS 1 with paho as this user; return the reason codes of the broker's PUBACKs."""
    codes: list[int] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, user, protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(user, PASSWORDS[user])
    client.on_publish = lambda *call: codes.append(call[3].value)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for body in bodies:
        client.publish(topic, body, qos=1).wait_for_publish(BOUND_S)
    client.disconnect()
    client.loop_stop()
    return codes


async def test_scans_of_a_foreign_library_arrive_and_are_forgotten_by_the_broker(
    broker: Broker, tmp_path: Path
) -> None:
    shelf = Shelf()
    driver = subscriber(broker, tmp_path)
    async with subscribed(driver, shelf):
        bodies = [scan_body(number) for number in range(50)]
        assert await asyncio.to_thread(published, broker, "hh-7", scan_topic("hh-7"), *bodies) == [0] * 50
        await shelf.arrived(50)
    async with subscribed(driver, shelf):
        await asyncio.to_thread(published, broker, "hh-7", scan_topic("hh-7"), scan_body(99))
        await shelf.arrived(51)
        assert shelf.readings[-1].message_id == "hh-7-000099"
        assert driver.stats.redelivered == 0, "everything acknowledged stays acknowledged"


async def test_what_is_published_while_the_gateway_is_away_waits_for_it(broker: Broker, tmp_path: Path) -> None:
    """The gateway is updated; the broker keeps the shift's scans, more than its own default of 1000."""
    shelf = Shelf()
    driver = subscriber(broker, tmp_path)
    async with subscribed(driver, shelf):
        pass
    bodies = [scan_body(number) for number in range(1500)]
    await asyncio.to_thread(published, broker, "hh-7", scan_topic("hh-7"), *bodies)
    async with subscribed(driver, shelf):
        await shelf.arrived(1500)
        assert [one.raw for one in shelf.readings] == bodies
        assert driver.stats.sessions_lost == 0


async def test_what_was_not_acknowledged_is_sent_again_marked_as_such(broker: Broker, tmp_path: Path) -> None:
    """The gateway is killed between receiving and committing."""
    shelf = Shelf()
    shelf.is_held = True
    driver = subscriber(broker, tmp_path, drain_s=0)
    async with subscribed(driver, shelf):
        await asyncio.to_thread(published, broker, "hh-7", scan_topic("hh-7"), scan_body(1), scan_body(2))
        await shelf.arrived(2)
    shelf.is_held = False
    async with subscribed(driver, shelf):
        await shelf.arrived(4)
        assert [one.message_id for one in shelf.readings[2:]] == ["hh-7-000001", "hh-7-000002"]
        assert driver.stats.redelivered == 2


async def test_a_restarted_broker_still_knows_our_session(broker: Broker, tmp_path: Path) -> None:
    """Updated over lunch: what is published before the gateway is back waits for it."""
    shelf = Shelf()
    driver = subscriber(broker, tmp_path)
    async with subscribed(driver, shelf) as task:
        await asyncio.to_thread(published, broker, "hh-7", scan_topic("hh-7"), scan_body(1))
        await shelf.arrived(1)
        await broker.stop()
        with pytest.raises(LinkLost):
            await asyncio.wait_for(asyncio.shield(task), BOUND_S)
    await broker.start()
    await asyncio.to_thread(published, broker, "hh-7", scan_topic("hh-7"), scan_body(2))
    async with subscribed(driver, shelf):
        await shelf.arrived(2)
        assert driver.stats.sessions_lost == 0


async def test_the_broker_sends_no_more_than_our_window_and_more_when_it_empties_one_by_one(
    broker: Broker, tmp_path: Path
) -> None:
    """It does not keep to the Receive Maximum then (2.0.11); ending the connection for it would never end."""
    shelf = Shelf()
    shelf.is_held = True
    async with subscribed(subscriber(broker, tmp_path, receive_max=7), shelf):
        bodies = [scan_body(number) for number in range(30)]
        await asyncio.to_thread(published, broker, "hh-7", scan_topic("hh-7"), *bodies)
        await shelf.arrived(7)
        assert len(shelf.readings) == 7
        shelf.is_held = False
        shelf.let_through()
        await shelf.arrived(30)
        assert [one.raw for one in shelf.readings] == bodies


async def test_a_clone_with_our_client_id_is_named(broker: Broker, tmp_path: Path) -> None:
    """A second PC from the same disk image: both reconnect for ever, each throwing the other out.

    A newer mosquitto says 0x8E, which is a DeviceFault; 2.0.11 closes without a word, so the hint has to ask.
    """
    async with (
        subscribed(subscriber(broker, tmp_path), Shelf()) as task,
        subscribed(subscriber(broker, tmp_path), Shelf()),
    ):
        with pytest.raises((DeviceFault, LinkLost)) as caught:
            await asyncio.wait_for(asyncio.shield(task), BOUND_S)
        assert "does another gateway use the client id gateway" in f"{caught.value} {caught.value.hint}" or (
            "another gateway uses this client id" in str(caught.value)
        )


async def test_wrong_credentials_and_a_missing_acl_line_are_faults_with_a_hint(broker: Broker, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("guess")
    for settings, word in (({"password_file": wrong}, "password"), ({"username": None, "password_file": None}, "user")):
        with pytest.raises(DeviceFault) as caught:
            async with subscribed(subscriber(broker, tmp_path, **settings), Shelf()):
                pass
        assert word in (caught.value.hint or "")


@pytest.mark.parametrize("device", ["hh-7", "hh-8"])
async def test_the_acl_lets_a_device_speak_for_itself_only(broker: Broker, tmp_path: Path, device: str) -> None:
    """The pair matrix: every device on every device's topics. Publishing elsewhere reaches nobody."""
    shelf = Shelf()
    async with subscribed(subscriber(broker, tmp_path), shelf):
        for topic in (scan_topic("hh-7"), scan_topic("hh-8"), scan_topic("dockline"), ack_topic(device), "anything"):
            codes = await asyncio.to_thread(published, broker, device, topic, scan_body(1))
            assert codes == [0 if topic == scan_topic(device) else 0x87]
        await shelf.arrived(1)
        assert {one.device for one in shelf.readings} == {device}
        assert len(shelf.readings) == 1


async def test_the_acl_lets_a_device_hear_its_own_answers_only(broker: Broker, tmp_path: Path) -> None:
    heard: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, "ear", protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set("hh-8", PASSWORDS["hh-8"])
    client.on_message = lambda *call: heard.append(call[2].topic)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for topic in ("#", f"dockline/v1/{SITE}/+/ack", ack_topic("hh-7"), scan_topic("hh-7"), ack_topic("hh-8")):
        client.subscribe(topic, qos=1)
    async with subscribed(subscriber(broker, tmp_path), Shelf()):
        for number, device in enumerate(("hh-7", "hh-8")):
            plan = HandheldPlan(
                device, SITE, broker.port, username=device, password=PASSWORDS[device], response_topic=device == "hh-7"
            )
            async with Handheld(plan, tmp_path, rng=random.Random(number)) as handheld:
                handheld.scan("]C10109521234543213")
                await asyncio.wait_for(handheld.all_answered(), BOUND_S)
    client.disconnect()
    client.loop_stop()
    assert set(heard) == {ack_topic("hh-8")}


async def test_a_retained_scan_is_not_taken_at_all(broker: Broker, tmp_path: Path) -> None:
    """It would come again with every new subscription, as if it had just been made."""
    shelf = Shelf()
    refused = asyncio.Event()
    loop = asyncio.get_running_loop()
    client = paho.Client(CallbackAPIVersion.VERSION2, "hh-7", protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set("hh-7", PASSWORDS["hh-7"])
    client.on_disconnect = lambda *_: loop.call_soon_threadsafe(refused.set)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    async with subscribed(subscriber(broker, tmp_path), shelf):
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        client.publish(scan_topic("hh-7"), scan_body(1), qos=1, retain=True, properties=properties)
        await asyncio.wait_for(refused.wait(), BOUND_S)
        client.disconnect()
        client.loop_stop()
        await asyncio.to_thread(published, broker, "hh-7", scan_topic("hh-7"), scan_body(2))
        await shelf.arrived(1)
        assert [one.message_id for one in shelf.readings] == ["hh-7-000002"]


async def test_nobody_without_a_password_gets_in(broker: Broker) -> None:
    answer = await asyncio.to_thread(
        subprocess.run,
        ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-V", "5", "-t", scan_topic("hh-7"), "-m", "x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode != 0
    assert "not authori" in (answer.stderr + answer.stdout).lower()
