"""A handheld, and the reference client for those who write one (docs/handhelds.md has the rules).

Three things make every scan arrive exactly once, and this file is mostly those three:

1. **A number that is never used twice.** The id of a message is this installation's own name and a counter. The name is
   drawn when the app is installed, so that a reset handheld does not begin again with numbers it has used.
2. **A file.** A scan is on the handheld's own flash before the operator hears anything, and stays there until the
   gateway's *application acknowledgement* names its id. A PUBACK is not enough: on a site broker it is the broker's.
3. **Saying it again.** No acknowledgement in `ack_timeout_s`, or a new connection: send the same bytes again, oldest
   first. The gateway answers a message it knows with the answer it gave before, and stores nothing.

What the operator hears is up to `Answer.tone`: *good* for stored, *attention* for stored with an exception (look at the
screen), *again* for an object that was here before, *error* for refused. Until then: nothing, or a click.

Its journal (NDJSON) is the device's side of the truth:

    scanned       the trigger was pulled (`id`, `code`); the scan is in the file
    sent          a message went out (`id`, `attempt`)
    heard         an acknowledgement came (`id`, `code`, `result`)
    refused       a PUBACK or SUBACK said no (`why`)
    connected, disconnected (`why`)
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.journal import Journal
from simulators.ledger import DeviceScan
from simulators.mqtt_client import LIBRARY_LOG, listen_in, said
from simulators.token import Token, find_tokens

CANCEL_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class HandheldPlan:
    """How this handheld was set up."""

    device: str
    """Its device id: the user name at the gateway, and its place in the topics."""
    site: str
    port: int
    host: str = "127.0.0.1"
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    ack_timeout_s: float = 5.0
    """How long it waits for an acknowledgement before it says a scan again."""
    in_flight_max: int = 1
    """Scans that wait for an acknowledgement at once. With 1 the order of scans is kept whatever happens; with more, a
    broker that forgets one message and not the next turns them round."""
    backoff_max_s: float = 5.0
    response_topic: bool = False
    """Ask for answers on a response topic with correlation data instead of the plain ack topic (MQTT 5, 4.10)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway said about one scan."""

    id: str
    result: str
    events: tuple[str, ...] = ()
    redelivered: bool = False
    reason: str | None = None
    """Why it was refused."""
    exceptions: tuple[str, ...] = ()
    """Codes of what is wrong about it."""

    @property
    def tone(self) -> Literal["good", "attention", "again", "error"]:
        """What the operator should hear: again for an object that was here before."""
        if self.result == "refused":
            return "error"
        if self.result == "duplicate":
            return "again"
        return "attention" if self.result == "stored_with_exception" else "good"


class ScanFile:
    """The scans that nobody acknowledged yet, on flash. One JSON object a line: installation, scan, or done."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.pending: dict[str, bytes] = {}
        """Message id -> the bytes to send, oldest first."""
        self._count = 0
        self._installation = ""
        self.path = path
        whole = self._read(path)
        if path.exists():
            # A line that a dying battery cut in half was never confirmed to the operator: it goes.
            os.truncate(path, whole)
        if not self._installation:
            self._installation = f"{rng.getrandbits(32):08x}"
            self._append({"installation": self._installation})

    def _read(self, path: Path) -> int:
        """Read what an earlier life left; return the bytes of whole lines. Raises ValueError for rubbish."""
        whole = 0
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
            if not line.endswith(b"\n"):
                break
            try:
                self._recall(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise ValueError(f"{path} holds something that is no scan of this handheld") from None
            whole += len(line)
        return whole

    def _recall(self, entry: dict[str, Any]) -> None:
        if "installation" in entry:
            self._installation = entry["installation"]
        elif "done" in entry:
            self.pending.pop(entry["done"], None)
        else:
            self._count = int(entry["count"])
            self.pending[entry["id"]] = entry["message"].encode()

    def add(self, device: str, scan: dict[str, Any]) -> str:
        """Number a scan and return its id once it is on flash."""
        self._count += 1
        message_id = f"{device}-{self._installation}-{self._count:06d}"
        message = json.dumps({"id": message_id, **scan}, ensure_ascii=False)
        self._append({"id": message_id, "count": self._count, "message": message})
        self.pending[message_id] = message.encode()
        return message_id

    def done(self, message_id: str) -> None:
        """The gateway answered for this one."""
        if self.pending.pop(message_id, None) is not None:
            self._append({"done": message_id})

    def _append(self, entry: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


class Handheld:
    """One handheld. `async with handheld:` switches it on; scanning works on or off."""

    def __init__(
        self,
        plan: HandheldPlan,
        folder: Path,
        *,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_line: Callable[[], None] | None = None,
    ) -> None:
        """`folder` keeps its scans over a change of battery; `on_line` is called when the journal grows."""
        self.plan = plan
        self.file = ScanFile(folder / f"{plan.device}.scans", rng)
        self.journal = Journal(plan.device, folder / f"{plan.device}.ndjson", on_line=on_line)
        self.answers: dict[str, Answer] = {}
        self._rng = rng
        self._sleep = sleep
        self._prefix = f"dockline/v1/{plan.site}/{plan.device}"
        self._ack_topic = f"{self._prefix}/ack/replies" if plan.response_topic else f"{self._prefix}/ack"
        self._codes = {message_id: str(json.loads(sent)["code"]) for message_id, sent in self.file.pending.items()}
        self._attempts: dict[str, int] = {}
        self._due: dict[str, float] = {}
        """When to say a scan again that was sent on this connection; loop time."""
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._is_on = True

    def scan(self, code: str, **context: str | int) -> str:
        """Pull the trigger. Return the message id once the scan is on the handheld's own flash.

        `context`: activity, document, location, quantity, unit, operator, at; as in the message.
        """
        message_id = self.file.add(self.plan.device, {"code": code, **context})
        self._codes[message_id] = code
        self.journal.record("scanned", id=message_id, code=code)
        self._changed.set()
        return message_id

    async def all_answered(self) -> None:
        """Return when every scan has heard an answer. Raises OSError when its flash or its journal is full."""
        while self.file.pending:
            await self._more_settled()

    async def answer(self, message_id: str) -> Answer:
        """Return what the gateway said about a scan, when it did. Raises OSError as `all_answered` does."""
        while message_id not in self.answers:
            await self._more_settled()
        return self.answers[message_id]

    def summary(self) -> str:
        """Return in a sentence what became of the scans since it was switched on, and of those it kept from before."""
        results = Counter(answer.result for answer in self.answers.values())
        heard = ", ".join(f"{count} {result}" for result, count in sorted(results.items())) or "none"
        kept = f"; {len(self.file.pending)} without an answer, kept in {self.file.path}" if self.file.pending else ""
        scans = len(self.answers) + len(self.file.pending)
        return f"{scans} scan{'s' * (scans != 1)}, answered: {heard}{kept}"

    async def _more_settled(self) -> None:
        """Return when something was answered, or raise what ended the conversation: no answer comes any more."""
        self._settled.clear()
        if self._running is not None and self._running.done() and not self._running.cancelled():
            self._running.result()
        await self._settled.wait()

    def device_scans(self) -> list[DeviceScan]:
        """Return the scans that carry a token, in the order they were made, with what was heard."""
        heard: dict[Token, set[str]] = {}
        for line in self.journal.lines:
            for token in find_tokens(str(line.get("code", ""))).whole:
                heard.setdefault(token, set()).add(str(line.get("result", "")))
        return [
            DeviceScan(token, bool(results - {"", "refused"}), refused="refused" in results)
            for token, results in heard.items()
        ]

    async def __aenter__(self) -> Self:
        self._running = asyncio.get_running_loop().create_task(self._run())
        self._running.add_done_callback(lambda _: self._settled.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._running is not None
        self._is_on = False
        while not self._running.done():  # wait_for of Python 3.11 loses a cancellation that comes with the answer
            self._running.cancel()
            await asyncio.wait({self._running}, timeout=CANCEL_AGAIN_S)
        self.journal.close()

    async def _run(self) -> None:
        """Connect, and connect again: at once after a good connection, with growing, jittered pauses after bad ones."""
        failures = 0
        # The library may end a cancelled conversation with an error of its own; so the cancellation is not relied on.
        while self._is_on:
            try:
                async with self._client() as client:
                    failures = 0
                    self.journal.record("connected")
                    await self._converse(client)
            except* aiomqtt.MqttError as errors:
                self.journal.record("disconnected", why=str(errors.exceptions[0]))
            failures += 1
            await self._sleep(self._rng.uniform(0, min(0.1 * 2**failures, self.plan.backoff_max_s)))

    def _client(self) -> aiomqtt.Client:
        plan = self.plan
        client = aiomqtt.Client(
            plan.host,
            plan.port,
            identifier=plan.device,
            username=plan.username,
            password=plan.password,
            protocol=aiomqtt.ProtocolVersion.V5,
            # What must not be lost is in the file; the library need not remember anything for us.
            clean_start=True,
            keepalive=30,
            timeout=plan.ack_timeout_s,
            tls_context=plan.tls,
            logger=LIBRARY_LOG,
        )
        return listen_in(client, self._hear_puback)

    def _hear_puback(self, reason_code: Any) -> None:
        """Write a no down: the scan stays on flash, and somebody has to be told (rule 2 and the table of the rules)."""
        if reason_code.is_failure:
            self.journal.record("refused", why=f"PUBACK: {said(reason_code)}")

    async def _converse(self, client: aiomqtt.Client) -> None:
        for granted in await client.subscribe(self._ack_topic, qos=1):
            if not isinstance(granted, int) and granted.is_failure:
                self.journal.record("refused", why=f"SUBACK for {self._ack_topic}: {said(granted)}")
        # A new connection knows nothing of what an old one sent: all that is pending goes out again, oldest first.
        self._due.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(client))
            group.create_task(self._send(client))

    async def _send(self, client: aiomqtt.Client) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            now = loop.time()
            window = list(self.file.pending)[: self.plan.in_flight_max]
            for message_id in [one for one in window if self._due.get(one, 0.0) <= now]:
                if message_id in self.file.pending:
                    await self._publish(client, message_id)
                    self._due[message_id] = loop.time() + self.plan.ack_timeout_s
            again = min((self._due[one] for one in window if one in self._due), default=None)
            try:
                async with asyncio.timeout_at(again):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _publish(self, client: aiomqtt.Client, message_id: str) -> None:
        attempt = self._attempts[message_id] = self._attempts.get(message_id, 0) + 1
        self.journal.record("sent", id=message_id, attempt=attempt)
        properties = None
        if self.plan.response_topic:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ResponseTopic = self._ack_topic
            properties.CorrelationData = message_id.encode()
        await client.publish(f"{self._prefix}/scan", self.file.pending[message_id], qos=1, properties=properties)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload
            try:
                found = json.loads(payload if isinstance(payload, bytes | str) else b"")
                acks = found if isinstance(found, list) else [found]
                for ack in acks:
                    self._hear(ack)
            except (ValueError, KeyError, TypeError):
                self.journal.record("not_understood", payload=repr(payload)[:200])

    def _hear(self, ack: dict[str, Any]) -> None:
        answer = Answer(
            str(ack["id"]),
            str(ack["result"]),
            tuple(ack.get("events", ())),
            bool(ack.get("redelivered", False)),
            ack.get("reason"),
            tuple(one["code"] for one in ack.get("exceptions", ())),
        )
        self.journal.record(
            "heard",
            id=answer.id,
            code=self._codes.get(answer.id, ""),
            result=answer.result,
            exceptions=answer.exceptions,
        )
        self.answers[answer.id] = answer
        self.file.done(answer.id)
        self._due.pop(answer.id, None)
        self._changed.set()
        self._settled.set()
