"""The scanner drivers keep the driver contract, over pseudo-terminals and TCP."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

from driver_contract import WIRES, DriverContract, Rig, running, supervise

from drivers import Driver, Reading
from drivers.serial_scanner import SerialScanner, SerialScannerSettings
from drivers.tcp_scanner import TcpScanner, TcpScannerSettings
from simulators.journal import Journal
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import PtyPort, ScannerPort, TcpClientPort, TcpServerPort
from simulators.token import Token, find_tokens
from simulators.wire import PLANS


class ScannerRig(Rig):
    """A simulated scanner on a port."""

    def __init__(self, port: ScannerPort, habits: ScannerHabits) -> None:
        super().__init__()
        self.habits = habits
        self.port = port
        self.acknowledges = self.resends = habits.acknowledge == "ack-nak"
        self.journal = Journal("d1", on_line=self.pulse.set)
        self.connected: asyncio.Event | None = None
        self._count = 0
        self._cut_for_good = False
        self._triggers: set[asyncio.Task[None]] = set()

    async def plug(self, wire: str, seed: int) -> None:
        self.scanner = Scanner(self.port, self.journal, self.habits, plan=PLANS[wire], rng=Random(seed))
        await self.scanner.start()

    async def close(self) -> None:
        for trigger in self._triggers:
            trigger.cancel()
        await asyncio.gather(*self._triggers, return_exceptions=True)
        await self.scanner.close()

    async def cut(self) -> None:
        await self.scanner.unplug()

    async def mend(self) -> None:
        await self.scanner.plug()

    async def say(self, count: int) -> list[str]:
        tokens = [str(Token("d1", self._count + n)) for n in range(count)]
        self._count += count
        trigger = asyncio.get_running_loop().create_task(self._pull(tokens))
        self._triggers.add(trigger)
        return tokens

    async def _pull(self, tokens: Sequence[str]) -> None:
        for token in tokens:
            if not self.resends:
                # Nobody hears a scanner that is not listened to: that is no fault of the driver.
                await self.pulse.until(lambda: self.connected is not None and self.connected.is_set())
            await self.scanner.scan(f"]C121{token}")

    def token_of(self, reading: Reading) -> str | None:
        if reading.kind != "scan":
            return None
        assert reading.raw == f"{reading.symbology}{reading.code}".encode()
        whole = find_tokens(reading.code).whole
        return str(whole[0]) if reading.code == f"21{whole[0] if whole else ''}" else f"invented {reading.code}"

    def acknowledged(self) -> Sequence[str]:
        return [code.removeprefix("]C121") for code in self.journal.said("acked")]

    def watch(self, driver: SerialScanner | TcpScanner) -> Driver:
        """Wake the tests when the driver's link is up."""
        self.connected = driver.connected
        set_connected = driver.connected.set

        def connected() -> None:
            set_connected()
            self.pulse.set()

        driver.connected.set = connected  # type: ignore[method-assign]
        return driver


class ScannerContract(DriverContract):
    """What scanners promise beyond the common contract."""

    async def test_a_link_opened_in_mid_scan_does_not_capture_the_tail(self, tmp_path: Path, seed: int) -> None:
        """Point 6: the gateway restarts while a label is on the wire; its tail is a valid-looking shorter label."""
        async with self.plugged(tmp_path) as (rig, intake):
            assert isinstance(rig, ScannerRig)
            token = str(Token("d1", 99999))
            label = f"]C121{token}\r".encode()
            async with running(supervise(rig, intake.emit)):
                await rig.pulse.until(lambda: rig.connected is not None and rig.connected.is_set(), what="link is up")
                await rig.port.connected.wait()
                tail = label[Random(seed).randrange(1, len(label) - 2) :]
                await rig.scanner.send_raw(tail)
                said = await rig.say(2)
                await rig.pulse.until(lambda: set(said) <= set(intake.tokens()), what="what came after it")
            assert list(dict.fromkeys(intake.tokens())) == said, (
                "resends are flagged repeats; anything else is invented"
            )
            assert [reading.raw for reading in intake.stored if reading.kind == "unreadable"] == [tail]
            assert token not in "".join(rig.acknowledged())


ACK_NAK = ScannerHabits(acknowledge="ack-nak", answer_timeout_s=0.12)
ONE_WAY = ScannerHabits(acknowledge="none")


class SerialRig(ScannerRig):
    def driver(self) -> Driver:
        settings = SerialScannerSettings(url=self.port.url, acknowledge=self.habits.acknowledge, answer_crossing_s=0.08)
        return self.watch(SerialScanner("dock-3-scanner", settings))


class TestSerialScannerThatWaits(ScannerContract):
    def rig(self, tmp_path: Path) -> Rig:
        return SerialRig(PtyPort(tmp_path / "by-id" / "usb-scanner"), ACK_NAK)


class TestSerialScannerThatDoesNotWait(ScannerContract):
    wires = ("clean", "byte-by-byte", "delayed")
    """On the others a scanner that is never answered loses scans, and nobody can know."""

    def rig(self, tmp_path: Path) -> Rig:
        return SerialRig(PtyPort(tmp_path / "by-id" / "usb-scanner"), ONE_WAY)


class TestSerialScannerBehindADeviceServer(ScannerContract):
    seeds = (3,)

    def rig(self, tmp_path: Path) -> Rig:
        return SerialRig(TcpServerPort(scheme="socket"), ACK_NAK)


class TcpRig(ScannerRig):
    def driver(self) -> Driver:
        settings = TcpScannerSettings(url=self.port.url, acknowledge=self.habits.acknowledge, answer_crossing_s=0.08)
        return self.watch(TcpScanner("tunnel-1", settings))


class TestTcpScannerThatListens(ScannerContract):
    seeds = (4,)

    def rig(self, tmp_path: Path) -> Rig:
        return TcpRig(TcpServerPort(), ACK_NAK)


class ListeningRig(ScannerRig):
    """The gateway listens; the scanner finds out where from the driver that runs."""

    def __init__(self) -> None:
        self.gateway_port = 0
        super().__init__(TcpClientPort(lambda: ("127.0.0.1", self.gateway_port), retry_s=0.01), ACK_NAK)

    def driver(self) -> Driver:
        settings = TcpScannerSettings(url="tcp-listen://127.0.0.1:0", acknowledge="ack-nak", answer_crossing_s=0.08)
        driver = TcpScanner("tunnel-1", settings)
        set_listening = driver.listening.set

        def listening() -> None:
            assert driver.port is not None
            self.gateway_port = driver.port
            set_listening()

        driver.listening.set = listening  # type: ignore[method-assign]
        return self.watch(driver)


class TestTcpScannerThatConnects(ScannerContract):
    seeds = (5,)

    def rig(self, tmp_path: Path) -> Rig:
        return ListeningRig()

    async def test_a_link_that_cannot_be_opened_is_an_error_for_the_supervisor(self, tmp_path: Path) -> None:
        """A listener has nothing to open; while nobody comes it waits, and is cancelled when asked to end."""
        async with self.plugged(tmp_path) as (rig, intake):
            await rig.cut()
            task = asyncio.ensure_future(rig.driver().run(intake.emit))
            await rig.pulse.never(task.done, "ended though it can only wait")
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert not intake.offered


def test_the_wires_are_those_the_contract_names() -> None:
    assert set(WIRES) <= set(PLANS)
