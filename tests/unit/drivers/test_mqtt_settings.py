"""What may not be configured, because it would let strangers in or nobody."""

from typing import Any

import pytest
from pydantic import ValidationError

from drivers.mqtt_settings import BrokerSettings, ListenerSettings, is_loopback_host, parse_bind, parse_broker_url

TLS = {"certificate": "/etc/dockline/gateway.pem", "key": "/etc/dockline/gateway.key"}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"bind": "0.0.0.0:1884", "users_file": "u"}, "has no TLS"),
        ({"bind": "10.0.0.7:1884", "users_file": "u"}, "has no TLS"),
        ({"bind": "[::]:1884", "users_file": "u"}, "has no TLS"),
        ({"bind": "gateway.example:1884", "users_file": "u"}, "has no TLS"),
        ({"bind": "0.0.0.0:1884", "unauthenticated": "accept-in-lab", **TLS}, "loopback only"),
        ({"bind": "127.0.0.1:1884"}, "nobody could connect"),
        ({"bind": "127.0.0.1:1884", "unauthenticated": "accept"}, "accept-in-lab"),
        ({"bind": "127.0.0.1:1884", "users_file": "u", "certificate": "c"}, "certificate and key belong together"),
        ({"bind": "127.0.0.1:1884", "users_file": "u", "client_ca": "c"}, "client_ca needs certificate"),
        ({"bind": "127.0.0.1", "users_file": "u"}, "an address and a port"),
        ({"bind": ":1884", "users_file": "u"}, "an address and a port"),
        ({"bind": "127.0.0.1:99999", "users_file": "u"}, "an address and a port"),
        ({"bind": "mqtt://127.0.0.1:1884", "users_file": "u"}, "an address and a port"),
        ({"bind": "127.0.0.1:1884", "users_file": "u", "user_file": "u"}, "Extra inputs"),
    ],
)
def test_a_listener_that_must_not_be_opened(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ListenerSettings(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"bind": "127.0.0.1:1884", "users_file": "u"},
        {"bind": "[::1]:1884", "unauthenticated": "accept-in-lab"},
        {"bind": "localhost:1884", "unauthenticated": "accept-in-lab"},
        {"bind": "0.0.0.0:8883", "users_file": "u", **TLS},
        {"bind": "0.0.0.0:8883", "client_ca": "c", **TLS},
    ],
)
def test_a_listener_that_may(settings: dict[str, Any]) -> None:
    assert ListenerSettings(**settings).unauthenticated == settings.get("unauthenticated", "refuse")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"url": "http://broker"}, "not the address of a broker"),
        ({"url": "mqtt://"}, "not the address of a broker"),
        ({"url": "mqtt://broker/topic"}, "not the address of a broker"),
        ({"url": "mqtt://user:secret@broker"}, "does not belong in a URL"),
        ({"url": "mqtt://broker", "ca_file": "c"}, 'did you mean "mqtts://"'),
        ({"url": "mqtts://broker", "key": "k"}, "certificate and key belong together"),
        ({"url": "mqtt://broker", "password_file": "p"}, "password_file needs username"),
        ({"url": "mqtt://broker", "session_expiry_s": 0}, "greater than or equal"),
    ],
)
def test_a_broker_that_cannot_be_meant(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        BrokerSettings(**settings)


def test_addresses() -> None:
    assert parse_bind("[::1]:0") == ("::1", 0)
    assert parse_bind("dock-pc-1.local:1884") == ("dock-pc-1.local", 1884)
    assert parse_broker_url("mqtts://broker.example") == ("mqtts", "broker.example", 8883)
    assert parse_broker_url("mqtt://[::1]:7") == ("mqtt", "::1", 7)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
    ],
)
def test_only_what_surely_stays_on_this_machine_is_loopback(host: str, is_loopback: bool) -> None:
    assert is_loopback_host(host) is is_loopback


def test_every_setting_says_what_it_is() -> None:
    for model in (ListenerSettings, BrokerSettings):
        assert [name for name, field in model.model_fields.items() if not field.description] == []
