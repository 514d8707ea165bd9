"""The driver contract for both MQTT ways in, with the reference client as the device."""

from collections.abc import Callable, Sequence
from pathlib import Path

from driver_contract import DriverContract, running, supervise
from mqtt_rigs import ListenerRig, SubscriberRig


class TestMqttListener(DriverContract):
    """Handhelds on the gateway's own listener."""

    def rig(self, tmp_path: Path) -> ListenerRig:
        return ListenerRig(tmp_path)

    async def test_a_cut_link_ends_the_run_with_link_lost(self, tmp_path: Path) -> None:
        """A listener has no link of its own to lose: a device that drops off ends nothing, and is served when back."""
        async with self.plugged(tmp_path) as (rig, intake):
            assert isinstance(rig, ListenerRig)
            assert rig.network is not None
            async with running(supervise(rig, intake.emit)) as task:
                for _ in range(3):
                    said = await rig.say(1)
                    await rig.pulse.until(lambda said=said: said[0] in rig.acknowledged(), what="acknowledged")
                    rig.network.cut()
                    await rig.network.mend()
                    assert not task.done()


class TestMqttSubscriber(DriverContract):
    """Handhelds on a site broker, a real mosquitto; the gateway's line to it is the wire."""

    def rig(self, tmp_path: Path) -> SubscriberRig:
        return SubscriberRig(tmp_path)

    @staticmethod
    def acknowledged(rig: SubscriberRig, said: Sequence[str]) -> Callable[[], bool]:
        return lambda: set(said) <= set(rig.acknowledged())

    async def test_a_broker_that_is_killed_and_comes_back_loses_no_scan(self, tmp_path: Path) -> None:
        """SIGKILL, and its persistence is off: what it held is gone, and every handheld still has its own."""
        async with self.plugged(tmp_path) as (rig, intake):
            assert isinstance(rig, SubscriberRig)
            assert rig.broker is not None
            said: list[str] = []
            async with running(supervise(rig, intake.emit)):
                for _ in range(3):
                    said += await rig.say(5)
                    await rig.broker.kill()
                    said += await rig.say(5)
                    await rig.broker.start()
                    await rig.pulse.until(self.acknowledged(rig, said), what="all acknowledged")
            assert list(dict.fromkeys(intake.tokens())) == said
