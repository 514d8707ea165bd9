"""The options of `dockline init` about who may come in: the built-in MQTT, its users, and tokens."""

from __future__ import annotations

from pathlib import Path

from drivers.mqtt_settings import ListenerSettings
from gateway.cli.errors import EXIT_USAGE, Failure
from gateway.setup.access import NewUser, admit, admits, user_of, users_secret
from gateway.setup.draft import Draft, Secret
from gateway.setup.words import WordsUnclear, table_of, with_secrets
from gateway.web.auth import ROLES, TokenEntry


def let_in(draft: Draft, config: Path, listener: str | None, users: list[str], tokens: list[str]) -> list[NewUser]:
    """Take the options; return the users of the listener. Raises Failure."""
    if users and listener is None:
        raise Failure("--user is for the built-in MQTT.", hint="--listener 127.0.0.1:1884", code=EXIT_USAGE)
    try:
        found = _listener(draft, listener, users) if listener is not None else []
        for text in tokens:
            _token(draft, config, text)
    except WordsUnclear as error:
        raise Failure(str(error), code=EXIT_USAGE) from None
    return found


def _listener(draft: Draft, listener: str, users: list[str]) -> list[NewUser]:
    draft.listener = with_secrets(table_of(listener, ListenerSettings, first="bind"), "devices")
    found = [user_of(text) for text in users]
    for one in found:
        if not admits(draft.devices, one.name):
            raise WordsUnclear(f"--user {one.name}: no --device is called so, by its id or by a pattern")
    if found:
        before = draft.listener.get("users_file")
        draft.listener["users_file"] = users_secret(found, before.text if isinstance(before, Secret) else "")
    draft.handed += [(f"Password of {one.name}", one.password) for one in found if one.is_made_up]
    return found


def _token(draft: Draft, config: Path, text: str) -> None:
    table = table_of(text, TokenEntry, first="name")
    wanted = str(table.pop("role", "operator"))
    role = next((one for one in ROLES if one == wanted), None)
    name, device = str(table.pop("name")), table.pop("device", None)
    if role is None or table:
        raise WordsUnclear(f'--token "{text}" is not "NAME role=..."; the role is one of {", ".join(ROLES)}')
    if device is not None and role != "device":
        raise WordsUnclear(f'--token "{text}": a token of role "{role}" speaks for no device; leave device= out')
    admit(draft, name, role, secrets=config.parent / "secrets", device=device)
