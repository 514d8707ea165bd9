"""The questions of `dockline init` about who may come in: handhelds and readers, and people on the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.answers import Answers, ask, ask_one_of, bad, good, heading

if TYPE_CHECKING:
    from gateway.setup.access import NewUser
    from gateway.setup.draft import Table

COME_BY_THEMSELVES = ("handheld", "rfid-reader")
"""Drivers of devices that connect to the gateway; the others are opened by it."""
LISTENER_BIND = "127.0.0.1:1884"
CERTIFICATE, KEY = Path("gateway.pem"), Path("secrets/gateway.key")
"""Where docs/install.md puts them, beside the configuration."""


@dataclass(slots=True)
class WaysIn:
    """Asks only about what the devices need."""

    answers: Answers
    _ways: set[str] = field(default_factory=set, init=False)

    def hold(self) -> None:
        """Ask. Raises typer.Abort when the person leaves, SettingsError."""
        if any(device["driver"] in COME_BY_THEMSELVES for device in self.answers.draft.devices):
            self._devices()
        self._people()

    # -- devices

    def _devices(self) -> None:
        heading("How handhelds and readers reach this gateway")
        ways = {"1": self._listener, "2": self._broker, "3": self._device_tokens}
        while True:
            print("  1  they connect to it (MQTT, built in)\n  2  over the MQTT broker of the site")
            print("  3  over HTTP, each with a token\n  d  done")
            answer = ask("Which one", "d" if self._ways else "1").lower()
            if answer == "d":
                return
            if answer not in ways:
                bad(f'"{answer}" is none of these.')
            elif ways[answer]():
                self._ways.add(answer)

    def _listener(self) -> bool:
        from gateway.setup.access import users_secret
        from gateway.setup.trial import try_listener

        draft, config = self.answers.draft, self.answers.config
        listener: Table = {"bind": LISTENER_BIND, "users_file": users_secret([])}
        draft.listener = listener
        print("  127.0.0.1:1884 is for this PC alone; 0.0.0.0:8883 is for the network, and needs a certificate")
        self._address(listener, "mqtt.listener", LISTENER_BIND)
        kept = config.parent / "secrets" / "devices.passwd"
        users: list[NewUser] = []
        if kept.exists() and typer.confirm(f"Keep the users of {kept}?", default=True):
            listener["users_file"] = str(kept)
        else:
            users = self._users()
            listener["users_file"] = users_secret(users)
        if not self.answers.stands(
            [listener], "mqtt.listener", lambda found: try_listener(found, self.answers.world, users, config)
        ):
            draft.listener = {}
            return False
        draft.handed += [(f"Password of {one.name}", one.password) for one in users if one.is_made_up]
        return True

    def _address(self, table: Table, place: str, default: str) -> None:
        """Ask where to listen, and off loopback for what TLS needs: without it the loader takes no such address."""
        from drivers.mqtt_settings import is_loopback_host, parse_bind

        while True:
            table["bind"] = ask("Address and port to listen on", default)
            try:
                host, _ = parse_bind(table["bind"])
                break
            except ValueError as error:
                bad(str(error))
        if is_loopback_host(host):
            return
        folder = self.answers.config.parent
        # Both at once: with one alone the loader does not look at the files.
        table |= {"certificate": str(folder / CERTIFICATE), "key": str(folder / KEY)}
        for key, question in (("certificate", "Certificate (PEM file)"), ("key", "Its key (PEM file)")):
            usual = table[key] if Path(table[key]).is_file() else None
            self.answers.key(table, key, question, place, default=usual)

    def _users(self) -> list[NewUser]:
        """Ask for names and passwords, until there is nobody more."""
        from gateway.setup.access import new_password, new_user

        found: list[NewUser] = []
        waiting = self._names()
        while True:
            default = waiting.pop(0) if waiting else ""
            name = self._device_name("Its user name, which is its device id", default or ("" if found else None))
            if not name:
                return found
            if any(one.name == name for one in found):
                bad(f"{name} has its password already.")
                continue
            password = ask("Its password (not shown; empty: one is made up and shown at the end)", "", hide=True)
            found.append(new_user(name, password or new_password(), is_made_up=not password))
            if not waiting and not typer.confirm("Another one?", default=False):
                return found

    def _broker(self) -> bool:
        from gateway.setup.draft import Secret
        from gateway.setup.trial import try_broker

        broker = self.answers.draft.broker
        broker["url"] = "mqtt://127.0.0.1:1883"
        question = "Broker that devices publish to (mqtt://host:1883)"
        self.answers.key(broker, "url", question, "mqtt.broker", default=None)
        if user := ask("User on it (empty: none)", ""):
            broker["username"] = user
            broker["password_file"] = Secret("broker.password", ask("Its password (not shown)", None, hide=True) + "\n")
        if self.answers.stands([broker], "mqtt.broker", lambda settings: try_broker(settings, self.answers.world)):
            return True
        broker.clear()
        return False

    def _device_tokens(self) -> bool:
        waiting = self._names()
        while True:
            name = self._device_name("Device that gets a token", waiting.pop(0) if waiting else None)
            self._admit(name, "device")
            if not waiting and not typer.confirm("Another one?", default=False):
                break
        print("  HTTP is for this PC alone until [api] has a certificate: docs/how-to/tls.md")
        return True

    def _names(self) -> list[str]:
        """Return a name for each device that comes by itself; of a pattern, its first."""
        return [
            str(device["id"]).replace("*", "1")
            for device in self.answers.draft.devices
            if device["driver"] in COME_BY_THEMSELVES
        ]

    def _device_name(self, question: str, default: str | None) -> str:
        """Ask until it is the id of a configured device, or empty where that is allowed."""
        from gateway.setup.access import admits

        while True:
            name = ask(question, default)
            if not name or admits(self.answers.draft.devices, name):
                return name
            known = ", ".join(str(device["id"]) for device in self.answers.draft.devices)
            bad(f"No device is called so; there are: {known}")

    # -- people

    def _people(self) -> None:
        from gateway.web.auth import ROLES

        heading("The page: who may act there, and not only look")
        roles = [one for one in ROLES if one != "device"]
        question = "Name of a person (empty: nobody yet)"
        while name := ask(question, ""):
            print(f"  {', '.join(roles)}: each may do what those before it may")
            if self._admit(name, ask_one_of("Role", roles, "operator")):
                question = "Another person (empty: nobody)"

    def _admit(self, name: str, role: Any) -> bool:
        """Give out a token; return False, having said why, when the name will not do."""
        from gateway.setup.access import admit
        from gateway.setup.words import WordsUnclear

        try:
            admit(self.answers.draft, name, role, secrets=self.answers.config.parent / "secrets")
        except WordsUnclear as error:
            bad(str(error))
            return False
        good(f"{name} gets a token of role {role}; it is shown once, at the end")
        return True
