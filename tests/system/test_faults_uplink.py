"""The uplink fails in every way a line, a server or a hotel can fail: the devices do not notice, and nothing is lost.

Each test is a day: scans are made before, during and after the trouble, by a handheld that numbers them; the trouble
has a name in status and log while it lasts; it ends by itself; and both ends agree at the end (`troubled_site`). The
days follow each other at one gateway, a process of its own; one that was not survived gets a new gateway.
"""

import asyncio
import contextlib
import random
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from math import log2
from pathlib import Path

import pytest
import pytest_asyncio
from troubled_site import BOUND_S, TroubledSite, troubled_site, until

from simulators.centre import Centre, Policy
from simulators.centre_script import Act
from simulators.journal import Journal
from simulators.labels import GTINS, carton
from simulators.scanner import Scanner, ScannerHabits
from simulators.scanner_port import PtyPort
from simulators.site import scanner_scans
from simulators.token import Token, find_tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")
Figure = Callable[[str, int | float | str], None]
TOKEN = "SECRET-8a61"


class Days:
    """The gateway that lives through them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._stack = contextlib.AsyncExitStack()
        self.site: TroubledSite | None = None

    async def begin(self) -> TroubledSite:
        if self.site is None or not self.site.is_judged:
            await self.end()
            self._count += 1
            folder = self._folder / str(self._count)
            folder.mkdir()
            self.site = await self._stack.enter_async_context(
                troubled_site(
                    folder,
                    policy=Policy(token=TOKEN),
                    token_file=str(token_file(folder, TOKEN)),
                    timeout_s=1.0,
                    batch_events_max=100,
                    linger_s=0.1,
                    retry_after_max_s=1.0,
                )
            )
        return self.site

    async def end(self) -> None:
        stack, self._stack, self.site = self._stack, contextlib.AsyncExitStack(), None
        await stack.aclose()


def token_file(folder: Path, token: str) -> Path:
    """Put the token where the gateway reads it, as a person renews one: whole, and then under its name."""
    fresh = folder / "fresh"
    fresh.write_text(token + "\n")
    fresh.chmod(0o600)
    return fresh.rename(folder / "centre.token")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def days(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Days]:
    made = Days(tmp_path_factory.mktemp("days"))
    yield made
    await made.end()


@pytest_asyncio.fixture(loop_scope="module")
async def site(days: Days) -> TroubledSite:
    return await days.begin()


def last_token(site: TroubledSite) -> Token:
    """Return the token of the last scan."""
    lines = [line for line in site.handhelds[0].journal.lines if line["what"] == "scanned"]
    return find_tokens(str(lines[-1]["code"])).whole[0]


async def trouble(site: TroubledSite, act: Act, code: str) -> None:
    """Let the centre do this to every request until the alarm with this code stands, and scan meanwhile."""
    await site.scan(2)
    site.centre.script.always = act
    await site.scan(5)
    await site.alarm(code)
    await site.scan(2)
    site.centre.script.always = None


@pytest.mark.fault(21)
async def test_a_line_that_is_cut_costs_nothing_but_time(site: TroubledSite, figure: Figure) -> None:
    await site.scan(5)
    site.network.cut()
    await site.scan(20)
    alarm = await site.alarm("upstream_unavailable")
    assert "no connection to 127.0.0.1" in alarm["message"]
    assert alarm["hint"]
    await site.network.mend()
    ledger = await site.verdict()
    figure("scans stored while the line was down, and delivered", ledger.delivered)


@contextlib.contextmanager
def dead_name_server(folder: Path) -> Iterator[tuple[socket.socket, tuple[str, ...]]]:
    """A name server that hears every question and answers none, and a gateway that asks nobody else.

    The system's look-up then takes two and a half minutes, longer than a test waits for anything.
    """
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 127.9.9.9\noptions timeout:30 attempts:5\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.9.9.9", 53))
        server.setblocking(False)
        own_file = f'mount --bind {resolver} /etc/resolv.conf && exec "$@"'
        yield server, ("unshare", "--mount", "sh", "-c", own_file, "sh", sys.executable, "-m", "gateway")


@pytest.mark.fault(21)
async def test_a_dead_name_server_holds_up_neither_scanners_nor_a_stop(tmp_path: Path, figure: Figure) -> None:
    """Ten upstreams whose names nobody knows, and one that is well: each look-up hangs in a thread. Events arrive at
    the one that is well, a scanner that is plugged in meanwhile is read, and the gateway stops when it is told to."""
    port = PtyPort(tmp_path / "by-id" / "usb-Zebra")
    scanner = Scanner(port, Journal("dock-1"), ScannerHabits(answer_timeout_s=1.0), rng=random.Random(1))
    more = '[[device]]\nid = "dock-1"\nstation = "floor"\ndriver = "serial-scanner"\nacknowledge = "ack-nak"\n'
    more += f'url = "{port.url}"\n'
    for number in range(10):
        more += f'[[upstream]]\nname = "far-{number}"\nrequired = false\ntimeout_s = 2.0\n'
        more += f'url = "http://wms-{number}.example/v1/events"\n'
    with dead_name_server(tmp_path) as (server, program):
        async with troubled_site(tmp_path, program=program, more=more) as site:
            site.more_scans.append(lambda: scanner_scans(scanner.journal))
            await site.scan(5)
            for number in range(10):
                await site.alarm("upstream_unavailable", subject=f"far-{number}")
            await scanner.start()
            async with asyncio.timeout(BOUND_S):
                for number in range(1, 4):
                    assert await scanner.scan(carton(GTINS[0], Token("s1", number))) == "acked"
            await site.scan(5)
            await site.verdict(alarms=["upstream_unavailable"])
            await scanner.close()
        questions = 0
        with contextlib.suppress(BlockingIOError):
            while server.recv(1000):
                questions += 1
    figure("questions to the dead name server", questions)
    assert questions >= 10


@pytest.mark.fault(22)
async def test_a_black_hole_is_not_felt_by_who_scans(site: TroubledSite, figure: Figure) -> None:
    """Packets vanish in a firewall. Answers to scans take as long as before; the request ends at its deadline."""
    before = await site.scan(40)
    held = len(site.centre.ledger.by_id)
    site.network.black_hole()
    during = await site.scan(40)
    await site.alarm("upstream_unavailable")
    during += await site.scan(20)
    assert len(site.centre.ledger.by_id) < held + 60
    await site.network.mend()
    await site.verdict()
    ratio = statistics.median(during) / statistics.median(before)
    figure("median time to an answer, in the hole / before", round(ratio, 2))


@pytest.mark.fault(22)
async def test_a_backlog_comes_through_a_line_that_is_too_slow_for_a_full_request(
    site: TroubledSite, figure: Figure
) -> None:
    """The cable was dug up, and the modem that stands in carries a full request in twice the time it may take."""
    await site.scan(2)
    await site.settled()
    site.network.cut()
    await site.scan(100)
    await site.alarm("upstream_unavailable")
    await site.network.mend()
    known = len(site.centre.attempts)
    site.network.blow(chunk_bytes=2_000, delay_s=0.05)
    await site.verdict()
    site.network.clear_up()
    figure("requests for 100 events", len(site.centre.attempts) - known)


@pytest.mark.fault(24)
async def test_answers_that_get_lost_are_asked_for_again_under_the_same_ids(site: TroubledSite, figure: Figure) -> None:
    """First the centre closes the connection after taking the events; then the line breaks at the answer."""
    known = len(site.centre.ledger.events) - len(site.centre.ledger.by_id)
    for is_line in (False, True):
        site.centre.script.always = None if is_line else Act("answer_lost")
        site.network.blow(loses_answers=is_line)
        await site.scan(10)
        await site.alarm("upstream_unavailable")
        site.centre.script.always = None
        site.network.clear_up()
        ledger = await site.verdict()
        assert ledger.redeliveries > known
        known = ledger.redeliveries
    figure("redeliveries", ledger.redeliveries)


@pytest.mark.fault(25)
async def test_applied_and_answered_with_an_error_is_asked_for_again(site: TroubledSite, figure: Figure) -> None:
    known = len(site.centre.ledger.events) - len(site.centre.ledger.by_id)
    for status in (500, 503):
        await trouble(site, Act("applied_status", status), "upstream_unavailable")
        ledger = await site.verdict()
        assert ledger.redeliveries > known
        figure(f"redeliveries after {status}", ledger.redeliveries - known)
        known = ledger.redeliveries


@pytest.mark.fault(26)
async def test_half_a_request_and_half_an_answer_count_for_nothing(site: TroubledSite, figure: Figure) -> None:
    for weather in ({"cut_after_request": 900}, {"cut_after_answer": 30}):
        await site.scan(2)
        site.network.blow(**weather)
        site.network.drop()
        await site.scan(10)
        await site.alarm("upstream_unavailable")
        site.network.clear_up()
        await site.network.mend()
        site.network.blow(cut_after_request=None, cut_after_answer=None)
        ledger = await site.verdict()
    figure("redeliveries", ledger.redeliveries)


@pytest.mark.fault(27)
@pytest.mark.parametrize("asked", ["1", "date+2"], ids=["seconds", "HTTP date"])
async def test_not_a_request_comes_before_it_is_due(site: TroubledSite, asked: str, figure: Figure) -> None:
    """A date has whole seconds only: two from now is more than one."""
    await site.settled()
    known = len(site.centre.attempts)
    site.centre.script.then(Act("status", 429, retry_after=asked))
    await site.scan(5)
    await site.alarm("upstream_throttles")
    await site.verdict()
    refused, after = site.centre.attempts[known : known + 2]
    assert refused.status == 429
    assert after.at - refused.at >= 1.0
    figure(f"waited when asked for {asked}, s", round(after.at - refused.at, 2))


@pytest.mark.fault(27)
async def test_an_absurd_wait_is_not_believed(site: TroubledSite) -> None:
    """A centre with a wrong clock must not silence a site for a year; here one second is the longest believed."""
    for asked in ("99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "soon", "-5"):
        site.centre.script.then(Act("status", 429, retry_after=asked))
        await site.scan(3)
        await site.verdict()


@pytest.mark.fault(28)
async def test_a_centre_with_a_small_door_gets_small_requests(tmp_path: Path, figure: Figure) -> None:
    """413 halves until it fits; the one event that never fits waits for a person, and nothing waits behind it."""
    async with troubled_site(tmp_path, linger_s=0.1) as site:
        site.centre.script.always = Act("status", 503)
        await site.scan(40)
        await site.scan(1, note="x" * 3000)
        too_large = last_token(site)
        await site.scan(40)
        site.centre.policy.body_bytes_max = 2500
        known = len(site.centre.attempts)
        site.centre.script.always = None
        await site.alarm("quarantine_waiting", logged=False)
        await site.verdict(held=[too_large], alarms=["quarantine_waiting"])
        assert "413" in (await site.quarantined())[0]["reason"]
        figure("requests for 81 events", len(site.centre.attempts) - known)
        figure("of them too large", sum(attempt.status == 413 for attempt in site.centre.attempts[known:]))
        site.centre.policy.body_bytes_max = 16_000_000
        await site.retry()
        await site.verdict()


@pytest.mark.fault(29)
async def test_one_bad_event_among_many_is_found_and_set_aside_alone(site: TroubledSite, figure: Figure) -> None:
    for answer in ("400", "422"):
        await site.settled()
        site.centre.script.always = Act("status", 503)
        await site.scan(22)
        await site.scan(1)
        poison = last_token(site)
        await site.scan(41)
        site.centre.policy.poison, site.centre.policy.poison_answer = (str(poison),), answer  # type: ignore[assignment]
        known = len(site.centre.attempts)
        site.centre.script.always = None
        await site.alarm("quarantine_waiting", logged=False)
        await site.verdict(held=[poison], alarms=["quarantine_waiting"])
        tries = len([one for one in site.centre.attempts[known:] if one.status != 503])
        figure(f"requests to isolate one of 64 from a {answer}", tries)
        assert tries <= 2 * log2(64) + 2
        (row,) = await site.quarantined()
        assert answer in row["reason"]
        site.centre.policy.poison, site.centre.policy.poison_answer = (), "named"
        await site.retry()
        await site.verdict()


@pytest.mark.fault(30)
async def test_a_credential_that_was_withdrawn_is_read_again_when_it_changes(tmp_path: Path, figure: Figure) -> None:
    """Everything waits and nothing is set aside; an hour before the next try is due, the new token counts."""
    path = token_file(tmp_path, "old-token")
    async with troubled_site(
        tmp_path, policy=Policy(token="old-token"), token_file=str(path), hold_retry_s=3600
    ) as site:
        await site.scan(5)
        await site.settled()
        site.centre.policy.token = "new-token"
        await site.scan(20)
        alarm = await site.alarm("upstream_credential")
        assert "old-token" not in f"{alarm} {site.log()}"
        assert await site.quarantined() == []
        refused = len(site.centre.attempts)
        token_file(tmp_path, "new-token")
        began = time.monotonic()
        await site.verdict()
        figure("seconds from the new file to delivery", round(time.monotonic() - began, 1))
        assert {attempt.status for attempt in site.centre.attempts[refused:]} == {200}


@pytest.mark.fault(30)
@pytest.mark.fault(31)
async def test_who_refuses_us_as_a_whole_has_nothing_set_aside(site: TroubledSite, figure: Figure) -> None:
    for status, code in (
        (401, "upstream_credential"),
        (403, "upstream_credential"),
        (404, "upstream_address"),
        (405, "upstream_address"),
        (410, "upstream_address"),
    ):
        await trouble(site, Act("status", status), code)
        assert await site.quarantined() == []
        await site.verdict()
    figure("set aside", len(await site.quarantined()))


@pytest.mark.fault(32)
async def test_a_conflict_confirms_what_it_names_and_nothing_else(site: TroubledSite, figure: Figure) -> None:
    """The centre took the events once and answers 409 when they come again, naming those it knows."""
    await site.settled()
    known = len(site.centre.attempts)
    site.centre.script.then(Act("answer_lost"), Act("duplicate_409"), Act("duplicate_409"))
    await site.scan(30)
    await site.verdict()
    conflicts = [attempt for attempt in site.centre.attempts[known:] if attempt.status == 409]
    assert conflicts
    figure("answers 409", len(conflicts))


@pytest.mark.fault(33)
async def test_a_partial_answer_settles_exactly_what_it_names(site: TroubledSite, figure: Figure) -> None:
    site.centre.script.always = Act("status", 503)
    await site.scan(40)
    await site.alarm("upstream_unavailable")
    known = len(site.centre.ledger.by_id)
    site.centre.script.always = None
    site.centre.script.then(*(Act("partial", share=share) for share in (0.3, 0.5, 0.1)))
    await site.verdict()
    figure("events after three partial answers", len(site.centre.ledger.by_id) - known)


@pytest.mark.fault(34)
async def test_a_friendly_stranger_is_no_centre(site: TroubledSite, figure: Figure) -> None:
    """A 200 from a hotel's log-in page, a load balancer, the wrong service: nothing is taken for delivered."""
    for act in ("portal", "empty", "nonsense", "wrong_ids", "deep"):
        await site.scan(2)
        marked = (await site.settled())["delivered"]
        site.centre.script.always = Act(act)  # type: ignore[arg-type]
        await site.scan(5)
        await site.alarm("upstream_not_answering")
        assert (await site.upstream())["delivered"] == marked, act
        figure(f"taken for delivered after {act}", (await site.upstream())["delivered"] - marked)
        site.centre.script.always = None
        await site.verdict()


class Firehose:
    """A web server that answers every request with a body that never ends."""

    def __init__(self) -> None:
        self.sent = 0
        self.requests = 0
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> "Firehose":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000000\r\n\r\n")
            writer.write(b'{"accepted":["')
            while True:
                writer.write(b"x" * 1_000_000)
                self.sent += 1_000_000
                await writer.drain()
        except OSError:
            writer.transport.abort()


@pytest.mark.fault(34)
async def test_an_answer_without_end_costs_no_memory(site: TroubledSite, figure: Figure) -> None:
    async with Firehose() as hose:
        await site.scan(2)
        await site.settled()
        before = site.gateway.memory_mb(peak=True)
        right, site.network._far_end = site.network._far_end, ("127.0.0.1", hose.port)
        site.network.drop()
        await site.scan(5)
        await until(lambda: hose.requests >= 40, "forty answers without end")
        await site.alarm("upstream_not_answering")
        grown = site.gateway.memory_mb(peak=True) - before
        figure("megabytes offered in forty answers", hose.sent // 1_000_000)
        figure("megabytes grown", round(grown, 1))
        # An answer is read up to a megabyte; forty of them kept would show.
        assert grown < 20
        site.network._far_end = right
        site.network.drop()
        await site.verdict()


@pytest.mark.fault(35)
async def test_no_redirect_carries_the_token_to_a_stranger(site: TroubledSite, figure: Figure) -> None:
    async with Centre() as stranger:
        for status in (301, 302, 303, 307, 308):
            await trouble(site, Act("redirect", status, location=stranger.url), "upstream_address")
            assert TOKEN not in site.log()
            await site.verdict()
        figure("requests the stranger saw", len(stranger.attempts))
        assert stranger.attempts == []
