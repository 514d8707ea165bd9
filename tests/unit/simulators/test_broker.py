"""The simulated site broker is a real one, killed and started again on the same port."""

import asyncio
from pathlib import Path

import pytest
from mqtt_peer import Peer, publish

from simulators.broker import Broker, BrokerFailed, BrokerMissing


async def test_it_accepts_when_start_returned_and_keeps_its_port(tmp_path: Path) -> None:
    async with Broker(tmp_path / "broker") as broker:
        port = broker.port
        for _ in range(3):
            peer = await Peer.hello(port)
            peer.send(publish(1))
            assert (await peer.receive()).packet_id == 1
            await peer.close()
            await broker.kill()
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)
            await broker.start()
            assert broker.port == port


async def test_two_brokers_do_not_meet(tmp_path: Path) -> None:
    async with Broker(tmp_path / "a") as one, Broker(tmp_path / "b") as two:
        assert one.port != two.port


async def test_a_configuration_it_does_not_take_is_said_in_its_own_words(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", "no_such_key true\n")
    with pytest.raises(BrokerFailed, match="no_such_key"):
        await broker.start()
    await broker.close()


async def test_a_machine_without_mosquitto_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    broker = Broker(tmp_path / "broker")
    with pytest.raises(BrokerMissing, match="Debian package"):
        await broker.start()
    await broker.close()


async def test_what_it_saved_at_a_stop_is_there_after_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    async with Broker(folder, f"allow_anonymous true\npersistence true\npersistence_location {folder}/\n") as broker:
        peer = await Peer.hello(broker.port, "gw", clean_start=False, session_expiry_interval=3600)
        await peer.close()
        await broker.stop()
        await broker.start()
        peer = await Peer.connect(broker.port)
        assert (await peer.introduce("gw", clean_start=False, session_expiry_interval=3600)).session_present
        await peer.close()
