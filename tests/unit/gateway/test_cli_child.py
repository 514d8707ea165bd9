import itertools
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import gateway.cli.child
from gateway.cli.child import free_port

KERNEL = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def test_a_free_port_is_none_that_the_kernel_gives_to_somebody_else() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert all(1024 < port < KERNEL for port in ports)


def test_a_port_somebody_listens_on_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        monkeypatch.setattr(gateway.cli.child, "_ports", itertools.count(taken - gateway.cli.child.PORT_MIN))
        assert free_port() > taken


def test_two_processes_at_a_time_are_far_from_each_other() -> None:
    program = "from gateway.cli.child import free_port; print(free_port())"
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(2)]
    ports = [int(one.communicate()[0]) for one in both]
    assert abs(ports[0] - ports[1]) > 100


@pytest.mark.parametrize("lowest", [0, 1024, gateway.cli.child.PORT_MIN])
def test_where_the_kernel_gives_out_all_of_them_it_is_asked(lowest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.cli.child, "_ephemeral", lambda: lowest)
    with socket.create_server(("127.0.0.1", free_port())):
        pass
