"""What systemd hears, on a real socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from descriptors import none_left

from gateway.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(60)
        yield listener


def notifier(manager: socket.socket, **environ: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": manager.getsockname(), **environ}, pid=77)


def heard(manager: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in manager.recv(4096).decode().split("\n"))


def test_ready_says_so_with_a_status(manager: socket.socket) -> None:
    notifier(manager).ready("2 links\nand a forged=line")
    assert heard(manager) == {"READY": "1", "STATUS": "2 links and a forged=line"}


def test_a_reload_carries_its_time(manager: socket.socket) -> None:
    notifier(manager).reloading(12.5)
    assert heard(manager) == {"RELOADING": "1", "MONOTONIC_USEC": "12500000"}


def test_stopping_and_watchdog(manager: socket.socket) -> None:
    sender = notifier(manager)
    sender.watchdog()
    sender.stopping()
    assert heard(manager) == {"WATCHDOG": "1"}
    assert heard(manager)["STOPPING"] == "1"


def test_the_watchdog_is_fed_with_no_descriptor_left(manager: socket.socket) -> None:
    """It would be killed for strangers who hold connections open, while those that stand go on."""
    sender = notifier(manager)
    with none_left():
        sender.watchdog()
    assert heard(manager) == {"WATCHDOG": "1"}


def test_an_abstract_socket_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")  # the kernel chooses an abstract name
        listener.settimeout(60)
        name = listener.getsockname()
        Notifier({"NOTIFY_SOCKET": "@" + name[1:].decode()}, pid=1).watchdog()
        assert listener.recv(100) == b"WATCHDOG=1"


def test_the_watchdog_is_fed_twice_as_often_as_needed(manager: socket.socket) -> None:
    assert notifier(manager, WATCHDOG_USEC="20000000", WATCHDOG_PID="77").watchdog_interval_s == 10.0


@pytest.mark.parametrize("environ", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"},
                                     {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "78"}])  # fmt: skip
def test_nobody_watches_us_unless_it_is_meant_for_us(environ: dict[str, str]) -> None:
    assert Notifier(environ, pid=77).watchdog_interval_s is None


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        sender = Notifier(environ, pid=1)
        sender.ready("x")
        sender.watchdog()
