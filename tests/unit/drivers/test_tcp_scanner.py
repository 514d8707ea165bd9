"""Scanners that speak TCP: ones that listen and ones that connect."""

import asyncio
import socket
from typing import Any

import pytest
from driver_contract import BOUND_S
from pydantic import ValidationError
from scanner_bench import ScannerBench

from drivers import DeviceFault, LinkLost
from drivers.tcp_scanner import TcpScanner, TcpScannerSettings
from simulators.scanner_port import TcpServerPort

ACK = b"\x06"


async def test_a_scanner_that_listens_is_read_and_answered() -> None:
    bench = ScannerBench(TcpServerPort())
    await bench.port.plug()
    driver = TcpScanner("tunnel-1", TcpScannerSettings(url=bench.port.url, acknowledge="ack-nak"))
    async with bench.running(driver) as task:
        bench.port.write(b"]E01\r")
        await bench.until_heard(ACK)
        await bench.port.unplug()
        with pytest.raises(LinkLost):
            await asyncio.wait_for(task, BOUND_S)
    assert bench.codes == ["1"]


class Listening:
    """A driver that listens, and what it emits."""

    def __init__(self, **keys: Any) -> None:
        self.bench = ScannerBench(TcpServerPort())
        settings = TcpScannerSettings(url="tcp-listen://127.0.0.1:0", acknowledge="ack-nak", **keys)
        self.driver = TcpScanner("tunnel-1", settings)

    async def __aenter__(self) -> "Listening":
        self.task = asyncio.ensure_future(self.driver.run(self.bench.emit))
        await asyncio.wait_for(self.driver.listening.wait(), BOUND_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=BOUND_S)

    async def connect(self, address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.driver.port, local_addr=(address, 0))


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), BOUND_S) == b""
    except ConnectionError:
        return True


async def test_a_scanner_that_connects_is_read_and_answered() -> None:
    async with Listening() as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"]E01\r")
        assert await asyncio.wait_for(reader.readexactly(1), BOUND_S) == ACK
        assert gateway.driver.connected.is_set()
        writer.close()
        with pytest.raises(LinkLost):
            await asyncio.wait_for(gateway.task, BOUND_S)
    assert gateway.bench.codes == ["1"]


async def test_a_second_scanner_from_elsewhere_is_turned_away() -> None:
    async with Listening() as gateway:
        reader, writer = await gateway.connect()
        other_reader, other_writer = await gateway.connect("127.0.0.2")
        assert await is_closed(other_reader)
        writer.write(b"]E01\r")
        assert await asyncio.wait_for(reader.readexactly(1), BOUND_S) == ACK
        writer.close()
        other_writer.close()


async def test_a_scanner_that_connects_anew_ends_the_old_connection() -> None:
    """It roamed or was reset; the first connection would look alive for half a minute."""
    async with Listening() as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"]E01\r")
        await asyncio.wait_for(reader.readexactly(1), BOUND_S)
        _, other_writer = await gateway.connect()
        with pytest.raises(LinkLost, match="connected anew"):
            await asyncio.wait_for(gateway.task, BOUND_S)
        writer.close()
        other_writer.close()


async def test_only_the_stated_peer_may_connect() -> None:
    async with Listening(peer="127.0.0.2") as gateway:
        stranger, stranger_writer = await gateway.connect()
        assert await is_closed(stranger)
        assert not gateway.driver.connected.is_set()
        reader, writer = await gateway.connect("127.0.0.2")
        writer.write(b"]E01\r")
        assert await asyncio.wait_for(reader.readexactly(1), BOUND_S) == ACK
        stranger_writer.close()
        writer.close()


async def test_when_the_scanner_leaves_the_port_is_to_be_opened_again_at_once() -> None:
    async with Listening() as gateway:
        reader, writer = await gateway.connect()
        writer.write(b"]E01\r")
        assert await asyncio.wait_for(reader.readexactly(1), BOUND_S) == ACK
        writer.close()
        with pytest.raises(LinkLost) as left:
            await asyncio.wait_for(gateway.task, BOUND_S)
    assert left.value.reopens_at_once


async def test_an_address_that_is_taken_is_a_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        driver = TcpScanner("tunnel-1", TcpScannerSettings(url=f"tcp-listen://127.0.0.1:{port}"))
        with pytest.raises(DeviceFault, match="cannot listen on"):
            await driver.run(ScannerBench(TcpServerPort()).emit)


async def test_the_port_is_free_after_the_run_ended() -> None:
    async with Listening() as gateway:
        port = gateway.driver.port
        assert port is not None
        _, writer = await gateway.connect()
        await asyncio.wait_for(gateway.driver.connected.wait(), BOUND_S)
    again = TcpScanner("tunnel-1", TcpScannerSettings(url=f"tcp-listen://127.0.0.1:{port}"))
    task = asyncio.ensure_future(again.run(gateway.bench.emit))
    listening = asyncio.ensure_future(again.listening.wait())
    await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED, timeout=BOUND_S)
    assert again.listening.is_set()
    task.cancel()
    writer.close()
    await asyncio.wait({task}, timeout=BOUND_S)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"url": "serial:///dev/ttyUSB0"}, 'did you mean "tcp://"'),
        ({"url": "tcp-lisen://0.0.0.0:1"}, 'did you mean "tcp-listen://"'),
        ({"url": "tcp://10.0.0.7"}, "needs a host and a port"),
        ({"url": "tcp-listen://10.0.0.7:1", "peer": "dock"}, "does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_wrong_settings_are_explained(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TcpScannerSettings(**keys)
    assert words in str(caught.value)


async def test_a_probe_connects_and_hangs_up_or_listens_and_stops() -> None:
    port = TcpServerPort()
    await port.plug()
    assert "accepts connections" in await TcpScanner("tunnel-1", TcpScannerSettings(url=port.url)).probe()
    taken = port.url.rpartition(":")[2]
    with pytest.raises(DeviceFault, match="cannot listen"):
        await TcpScanner("tunnel-1", TcpScannerSettings(url=f"tcp-listen://127.0.0.1:{taken}")).probe()
    await port.unplug()
    with pytest.raises(LinkLost):
        await TcpScanner("tunnel-1", TcpScannerSettings(url=port.url)).probe()
    free = TcpScanner("tunnel-1", TcpScannerSettings(url="tcp-listen://127.0.0.1:0"))
    assert "can be listened on" in await free.probe()
