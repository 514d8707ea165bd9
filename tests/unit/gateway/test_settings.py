"""The configuration that is right: the smallest one, the documented one, profiles, secrets, and the schema."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from daemon_texts import SMALLEST
from pydantic import BaseModel, ValidationError

from drivers.modbus_map import Point
from drivers.registry import DRIVERS, load_driver
from drivers.tag_mapping import Match, TagMapping
from gateway.credentials import CredentialError
from gateway.events.json_schema import schema_text
from gateway.settings import Bind, Settings, SettingsError, load_settings
from gateway.settings.checks import PlaceSettings, RouteSettings, RuleSettings
from gateway.settings.json_schema import config_schema
from gateway.settings.load import SHARED_LINKS, UPSTREAM_KINDS
from gateway.settings.model import SECTIONS, DeviceCommon, LabelPatternSettings, StationSettings

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "config" / "gateway.toml"


def load(text: str, folder: Path, **environ: str) -> Settings:
    path = folder / "gateway.toml"
    path.write_text(text)
    return load_settings(path, environ=environ)


def test_the_smallest_file_of_the_design_works(tmp_path: Path) -> None:
    settings = load(SMALLEST, tmp_path)
    assert (settings.site.id, settings.site.gateway) == ("dc07", "dock-pc-1")
    assert [upstream.name for upstream in settings.upstreams] == ["centre"]
    assert settings.devices[0].driver == "serial-scanner"
    assert settings.api.bind == Bind("127.0.0.1", 8470)
    assert settings.api.unauthenticated == "refuse"


def test_the_example_of_the_documentation_is_no_centre(tmp_path: Path) -> None:
    (notice,) = load(SMALLEST, tmp_path).notices
    assert "wms.example" in notice and "your centre" in notice
    assert load(SMALLEST.replace("wms.example", "wms.lan"), tmp_path).notices == ()
    assert load(SMALLEST.replace("wms.example", "wms.example.lan"), tmp_path).notices == ()


@pytest.mark.parametrize(
    ("table", "address", "means"), [("holding", 40001, 0), ("input", 30011, 10), ("holding", 40000, None)]
)
def test_an_address_as_a_manual_writes_it_is_remarked_on(
    table: str, address: int, means: int | None, tmp_path: Path
) -> None:
    """The classic slip: it may be meant, so it is no error."""
    points = f'[[device.points]]\nname = "parts"\naddress = {address}\ntype = "uint16"\ntable = "{table}"\n'
    plc = '[[device]]\nid = "press"\nstation = "dock-3"\ndriver = "modbus-poller"\nurl = "modbus-tcp://10.0.0.20"\n'
    notices = load(SMALLEST.replace("wms.example", "wms.lan") + plc + points, tmp_path).notices
    if means is None:
        assert notices == ()
    else:
        assert notices[0].startswith("press: point parts ") and notices[0].endswith(f"address = {means}")


CLEAR = """
[mqtt.broker]
url = "mqtt://broker.lan"
username = "gateway"
password_file = "{secret}"

[expectations]
url = "http://wms.lan/v1/expectations"
"""


def test_what_leaves_this_computer_without_tls_is_said(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET-5d3f9a")
    secret.chmod(0o600)
    plain = SMALLEST.replace("https://wms.example/v1/events", f'http://wms.lan/v1/events"\ntoken_file = "{secret}')
    clear = plain + CLEAR.format(secret=secret)
    found = load(clear, tmp_path).notices
    assert [one.partition(":")[0] for one in found] == ["expectations.url", "mqtt.broker.url", "upstream[1].url"]
    assert ["included" in one for one in found] == [False, True, True]
    assert "https://" in found[2] and "mqtts://" in found[1]
    for here in ("127.0.0.1", "localhost", "[::1]"):
        assert load(clear.replace("wms.lan", here).replace("broker.lan", here), tmp_path).notices == ()
    assert load(clear.replace("http:", "https:").replace("mqtt:", "mqtts:"), tmp_path).notices == ()


def test_check_asks_who_owns_a_secret_and_the_service_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, storage: Path) -> None:
        assert storage == Path("/var/lib/dockline")
        raise CredentialError(f"{path.name} is not its own", hint="chown")

    monkeypatch.setattr("gateway.settings.rules.check_secret_owner", refuse)
    secret = tmp_path / "token"
    secret.write_text("x")
    secret.chmod(0o600)
    path = tmp_path / "gateway.toml"
    path.write_text(SMALLEST.replace('name = "centre"', f'name = "centre"\ntoken_file = "{secret}"'))
    with pytest.raises(SettingsError, match="token is not its own; chown"):
        load_settings(path, environ={}, must_run=False)
    assert load_settings(path, environ={}, must_run=True).upstreams[0].token_file == secret


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load(SMALLEST, tmp_path)
    with pytest.raises(ValidationError):
        settings.site.id = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        settings.devices = ()  # type: ignore[misc]


def test_a_byte_order_mark_and_windows_lines_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode())
    assert load_settings(path).site.id == "dc07"


# -- profiles


def test_a_profile_presets_keys_and_the_device_wins(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    profile = 'product = "Ours"\ndriver = "serial-scanner"\nterminator = "\\n"\nacknowledge = "ack-nak"\n'
    (tmp_path / "profiles" / "ours.toml").write_text(profile)
    text = SMALLEST.replace('driver = "serial', 'profile = "ours"\nacknowledge = "none"\ndriver = "serial')
    link: Any = load(text, tmp_path).devices[0].link
    assert (link.terminator, link.acknowledge) == ("\n", "none")


@pytest.mark.parametrize("profile", sorted((ROOT / "config" / "profiles").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_profile_makes_a_device(profile: Path, tmp_path: Path) -> None:
    told = tomllib.loads(profile.read_text())
    driver = told["driver"]
    if driver.endswith("-scanner"):  # set up by labels, which somebody has to name
        assert told["product"] and told["notes"]
    text = SMALLEST.replace('driver = "serial-scanner"', f'driver = "{driver}"\nprofile = "{profile.stem}"')
    if driver == "rfid-reader":
        text = text.replace('url = "serial:///dev/ttyUSB0?baudrate=9600"\n', "")
    if driver == "tcp-scanner":
        text = text.replace("serial:///dev/ttyUSB0?baudrate=9600", "tcp://10.0.0.8:2001")
    assert load(text, tmp_path).devices[0].profile == profile.stem


def test_a_mistake_in_a_profile_is_named(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "ours.toml").write_text('driver = "serial-scanner"\nterminator = \n')
    with pytest.raises(SettingsError, match=r"ours.toml:2"):
        load(SMALLEST.replace('driver = "serial', 'profile = "ours"\ndriver = "serial'), tmp_path)


# -- secrets


@pytest.mark.parametrize(
    ("mode", "fine"), [(0o600, True), (0o400, True), (0o640, False), (0o644, False), (0o604, False)]
)
def test_a_secret_file_must_be_ours_alone(mode: int, fine: bool, tmp_path: Path) -> None:
    secret = tmp_path / "centre.token"
    secret.write_text("t0p")
    secret.chmod(mode)
    text = SMALLEST.replace('name = "centre"', f'name = "centre"\ntoken_file = "{secret}"')
    if fine:
        assert load(text, tmp_path).upstreams[0].token_file == secret
    else:
        with pytest.raises(SettingsError, match=f"chmod 600 {secret}"):
            load(text, tmp_path)


def test_a_credential_is_found_where_systemd_puts_it(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "centre-token").write_text("t0p")
    text = SMALLEST.replace('name = "centre"', 'name = "centre"\ntoken_credential = "centre-token"')
    assert load(text, tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path / "credentials")).upstreams


def test_a_check_from_a_shell_only_notes_that_a_credential_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(SMALLEST.replace('name = "centre"', 'name = "centre"\ntoken_credential = "centre-token"'))
    notices = load_settings(path, environ={}, must_run=False).notices
    assert any("centre-token" in notice for notice in notices)


# -- the documented file


def switched_on(text: str) -> dict[str, Any]:
    """The shipped file with every key that is switched off by a "#" directly before it."""
    return tomllib.loads(re.sub(r"(?m)^#(?=[a-z\[])", "", text))


def models() -> Iterator[tuple[str, type[BaseModel]]]:
    yield from SECTIONS.items()
    for kind, upstream in UPSTREAM_KINDS.items():
        yield f"upstream {kind}", upstream
    yield "station", StationSettings
    for key, driver in SHARED_LINKS.items():
        yield f"mqtt.{key}", load_driver(driver).settings_model
    for driver in DRIVERS:
        if driver not in SHARED_LINKS.values():
            yield f"device {driver}", load_driver(driver).settings_model


def keys_of_the_models() -> set[str]:
    found = {f"device.{key}" for key in DeviceCommon.model_fields}
    for table, model in models():
        name = table.partition(" ")[0]
        found |= {f"{name}.{key}" for key in model.model_fields}
    nested = {
        "device.points": Point,
        "device.tags": TagMapping,
        "device.tags.ignore": Match,
        "device.tags.health": Match,
    }
    lists = {
        "labels.patterns": LabelPatternSettings,
        "checks.rules": RuleSettings,
        "checks.routes": RouteSettings,
        "checks.locations": PlaceSettings,
    }
    for table, model in {**nested, **lists}.items():
        found |= {f"{table}.{key}" for key in model.model_fields}
    return found


def keys_of(value: Any, path: str = "") -> set[str]:
    if isinstance(value, list):
        return set().union(*(keys_of(item, path) for item in value)) if value else set()
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for key, item in value.items():
        name = f"{path}.{key}" if path else key
        found |= {name} | keys_of(item, name)
    return found


def keys_of_the_file() -> set[str]:
    tables = {*SECTIONS, "upstream", "station", "device", "mqtt", *(f"mqtt.{key}" for key in SHARED_LINKS)}
    return keys_of(switched_on(SHIPPED.read_text())) - tables


def test_the_shipped_file_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(SHIPPED, environ={})
    assert settings.devices


def test_every_key_there_is_stands_in_the_shipped_file() -> None:
    # `text` belongs to `health` only; an entry of `ignore` needs none.
    assert keys_of_the_models() - keys_of_the_file() - {"device.tags.ignore.text"} == set()


def test_every_key_in_the_shipped_file_is_real() -> None:
    assert keys_of_the_file() - keys_of_the_models() == set()


def test_a_key_that_is_switched_off_shows_its_default() -> None:
    """A file that shows another value than the one in force misleads whoever reads it."""
    data = switched_on(SHIPPED.read_text())
    active = tomllib.loads(SHIPPED.read_text())
    wrong = []
    for table, model in models():
        if table.startswith("upstream "):
            kind = table.removeprefix("upstream ")
            written = next(one for one in data["upstream"] if one["kind"] == kind)
            live = next((one for one in active["upstream"] if one["kind"] == kind), {})
        elif table.startswith("device "):
            found = [one for one in data["device"] if one["driver"] == table.removeprefix("device ")]
            written, live = found[0], next((one for one in active["device"] if one["id"] == found[0]["id"]), {})
        else:
            written, live = data, active
            for part in table.split("."):
                written, live = first(written[part]), first(live.get(part, {})) if isinstance(live, dict) else {}
        for key, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            if key in live or field.is_required() or default is None or default == ():
                continue
            if key in written and str(written[key]).lower() != str(default).lower():
                wrong.append((table, key, written[key], default))
    assert [one for one in wrong if one[:2] not in EXAMPLES] == []


EXAMPLES = {("device modbus-poller", "poll_interval_s")}
"""Keys of devices that are examples as a whole."""


def first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def test_every_key_says_what_it_means() -> None:
    silent = [f"{table}.{key}" for table, model in models() for key, field in model.model_fields.items()
              if not field.description]  # fmt: skip
    assert silent == []


# -- the schema for editors


def test_the_shipped_schema_is_the_one_the_models_give() -> None:
    text = (SHIPPED.parent / "gateway.schema.json").read_text()
    assert text == schema_text(config_schema()), "run: dockline schema config > config/gateway.schema.json"


def test_the_schema_takes_the_shipped_file_and_refuses_a_broken_one() -> None:
    validator = jsonschema.Draft202012Validator(json.loads((SHIPPED.parent / "gateway.schema.json").read_text()))
    data = tomllib.loads(SHIPPED.read_text())
    validator.validate(data)
    data["device"][0]["termnator"] = "\r"
    assert not validator.is_valid(data)
