"""A gateway process at a small site, for system tests: one configuration, every way in."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

from gateway.cli.child import GatewayProcess, free_port

ROOT = Path(__file__).parents[2]
PLANTED = Path(__file__).with_name("planted_gateway.py")
START_BOUND_S = 120.0

_CONFIG = """\
[site]
id = "dc07"
gateway = "dock-pc-1"

[storage]
path = "{folder}/state"
reserve_bytes = 0

[mqtt.listener]
bind = "127.0.0.1:{listener}"
unauthenticated = "accept-in-lab"

[api]
bind = "127.0.0.1:{api}"
{api_access}

[[upstream]]
name = "centre"
url = "{upstream}"
timeout_s = 5.0
backoff_base_s = 0.1
backoff_max_s = 0.3

[[station]]
id = "floor"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"
"""


@dataclass(slots=True)
class SiteUnderTest:
    """Addresses, configuration and process of one gateway."""

    folder: Path
    upstream: str
    broker_port: int | None = None
    more: str = ""
    """Further TOML."""
    api_access: str = 'unauthenticated = "accept-in-lab"'
    """Who may do what over the API: a key of its table."""
    listener: int = field(default_factory=free_port)
    api: int = field(default_factory=free_port)
    planted: str | None = None
    """Name of a bug in planted_gateway.py."""
    gateway: GatewayProcess = field(init=False)

    def __post_init__(self) -> None:
        text = _CONFIG.format(
            folder=self.folder,
            listener=self.listener,
            api=self.api,
            upstream=self.upstream,
            api_access=self.api_access,
        )
        if self.broker_port is not None:
            text += f'\n[mqtt.broker]\nurl = "mqtt://127.0.0.1:{self.broker_port}"\n'
        config = self.folder / "gateway.toml"
        config.write_text(text + self.more)
        program = (sys.executable, "-m", "gateway")
        if self.planted is not None:
            program = (sys.executable, str(PLANTED), self.planted)
        self.gateway = GatewayProcess(config, self.folder / "gateway.log", program, start_timeout_s=START_BOUND_S)


class Progress:
    """Lets a test wait for a condition that journals change, without looking twice in vain."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def note(self) -> None:
        """Something happened."""
        self._changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when `is_so` holds; looked at after each note."""
        while not is_so():
            self._changed.clear()
            await self._changed.wait()


async def output_of(*command: str, given: bytes = b"") -> tuple[int, str]:
    """Run a program and return its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate(given)
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace")


def json_in(said: str) -> Any:
    """Return the JSON document that begins on a line of its own, whatever was said around it."""
    begins = re.search(r"^[{\[]", said, re.MULTILINE)
    assert begins is not None, said
    return json.JSONDecoder().raw_decode(said, begins.start())[0]


def check_event(body: object) -> None:
    """Judge a member of a batch by the schemas that ship; raises jsonschema.ValidationError."""
    folder = ROOT / "gateway" / "events" / "schema"
    schemas = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    registry: Registry[object] = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas]
    )
    envelope = registry.contents("urn:dockline:schema:delivered:v1")
    jsonschema.Draft202012Validator(envelope, registry=registry).validate(body)
