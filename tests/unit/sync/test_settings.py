"""What an operator may say about an upstream."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from drivers.mqtt_gathering import GATHER_S
from sync import HttpEventsSettings, PumpSettings

LEAST = {"name": "centre", "url": "https://wms.example/v1/events"}


def test_name_and_url_are_enough() -> None:
    settings = HttpEventsSettings.model_validate(LEAST)
    assert settings.kind == "http-events"
    assert settings.acknowledge == "named"
    assert settings.required


def test_every_key_is_described() -> None:
    fields = {**PumpSettings.model_fields, **HttpEventsSettings.model_fields}
    assert [name for name, field in fields.items() if not (field.description or "").endswith(".")] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"nmae": "x"},
        {"name": "Centre"},
        {"name": ""},
        {"url": "wms.example/v1"},
        {"url": "ftp://wms.example/"},
        {"url": "https:///v1"},
        {"url": "https://wms.example:99999/"},
        {"url": "https://user:secret@wms.example/"},
        {"url": "https://wms.example/#x"},
        {"url": "https://wms.example/a b"},
        {"url": "https://wms.example/\n"},
        {"position_url": "nowhere"},
        {"kind": "kafka"},
        {"acknowledge": "maybe"},
        {"batch_events_max": 0},
        {"batch_bytes_max": 10},
        {"linger_s": -1},
        {"reject_max": 0},
        {"timeout_s": 0},
        {"token_file": "/a", "token_credential": "b"},
        {"signing_secret_file": "/a", "signing_secret_credential": "b"},
        {"token_credential": "../etc/passwd"},
        {"certificate": "/c.pem"},
        {"key": "/c.key"},
        {"url": "http://wms.example/", "ca_file": "/ca.pem"},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpEventsSettings.model_validate({**LEAST, **wrong})
    assert "secret@" not in "".join(error["msg"] for error in caught.value.errors())


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        HttpEventsSettings.model_validate(LEAST).name = "other"  # type: ignore[misc]


def test_secrets_are_found_by_file_or_in_the_folder_systemd_made() -> None:
    by_file = HttpEventsSettings.model_validate({**LEAST, "token_file": "/etc/dockline/token"})
    assert by_file.token_path(Path("/run/creds")) == Path("/etc/dockline/token")
    by_name = HttpEventsSettings.model_validate({**LEAST, "token_credential": "centre-token"})
    assert by_name.token_path(Path("/run/creds")) == Path("/run/creds/centre-token")
    assert by_name.token_path(None) == Path("/run/credentials/dockline.service/centre-token")
    assert by_name.signing_secret_path(None) is None


def test_the_linger_keeps_a_trickle_within_the_latency_that_was_promised() -> None:
    """100 ms from publishing to upstream, at worst, of which 30 ms may go by before the scan is taken in, and 20 ms are
    for commit and request."""
    assert PumpSettings(name="x").linger_s + GATHER_S <= 0.08
