"""Pages and files of docs/ that are made from the code, and nobody writes in.

python tests/support/reference.py        makes them anew (`make docs`)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from reference_api import api_page  # noqa: E402
from reference_commands import commands_page  # noqa: E402
from reference_events import events_page  # noqa: E402
from reference_settings import settings_page  # noqa: E402

from gateway.asyncapi import asyncapi  # noqa: E402
from gateway.checks.expectation import document_schema  # noqa: E402
from gateway.events.json_schema import schema_text, schemas  # noqa: E402
from gateway.settings.json_schema import config_schema  # noqa: E402
from gateway.web.openapi import openapi  # noqa: E402

YAML_HEAD = """\
# MQTT topics of a Dockline gateway, and its deliveries to a centre.
# Made from the code (make docs); nobody writes in it.
"""


def asyncapi_text() -> str:
    """Return the AsyncAPI document as YAML."""
    plain = json.loads(json.dumps(asyncapi()))  # without the aliases that YAML makes of shared parts
    return YAML_HEAD + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)


FILES: Mapping[str, Callable[[], str]] = {
    "docs/settings.md": settings_page,
    "docs/events.md": events_page,
    "docs/api.md": api_page,
    "docs/commands.md": commands_page,
    "docs/openapi.json": lambda: schema_text(openapi()),
    "docs/asyncapi.yaml": asyncapi_text,
    "config/gateway.schema.json": lambda: schema_text(config_schema()),
    "config/expectation.schema.json": lambda: schema_text(document_schema()),
    **{f"gateway/events/schema/{name}.json": partial(schema_text, schema) for name, schema in schemas().items()},
}
"""File and what makes its text."""


def write() -> list[str]:
    """Make every file anew; return those that changed."""
    changed = []
    for name, make in FILES.items():
        text, path = make(), ROOT / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            changed.append(name)
    return changed


if __name__ == "__main__":
    print("\n".join(write()) or "Nothing changed.")
