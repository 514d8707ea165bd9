"""Passwords, tokens and certificates are read again when they change; what cannot be used is an alarm until it can."""

import hashlib
from pathlib import Path

from daemon_process import CONFIG, GatewayProcess, gateway, until

from drivers.password_file import password_line


def alarms(daemon: GatewayProcess) -> dict[str, str]:
    """Return what is said of files that cannot be used, by subject."""
    status = daemon.ask("GET", "/v1/status").json
    return {one["subject"]: one["message"] for one in status["alarms"] if one["code"] == "files_refused"}


def test_a_file_put_in_place_by_root_is_an_alarm_until_it_is_the_services(tmp_path: Path) -> None:
    """What is said is what has to be done, and doing it is enough: no reload, no restart."""
    tokens, users = tmp_path / "tokens.toml", tmp_path / "devices.passwd"
    digest = hashlib.sha256(b"token-of-bob").hexdigest()
    tokens.touch(0o600)
    users.write_text(password_line("hh-7", b"right"))
    users.chmod(0o600)
    config = CONFIG.replace('unauthenticated = "accept-in-lab"', f'users_file = "{users}"', 1)
    with gateway(tmp_path, config + f'tokens_file = "{tokens}"\n') as daemon:
        daemon.start()
        assert alarms(daemon) == {}
        fresh = tmp_path / "fresh"
        fresh.write_text(f'[[token]]\nname = "bob"\nsha256 = "{digest}"\nrole = "technician"\n')
        fresh.chmod(0o640)
        fresh.replace(tokens)
        users.chmod(0o666)
        until(lambda: set(alarms(daemon)) == {"api", "mqtt-listener"}, "both are alarms")
        assert "can be read by others" in alarms(daemon)["api"]
        assert "everybody may write it" in alarms(daemon)["mqtt-listener"]
        tokens.chmod(0o600)
        users.chmod(0o600)
        until(lambda: not alarms(daemon), "both alarms end")
        assert daemon.ask("GET", "/v1/devices", token="token-of-bob").status == 200
        assert daemon.ask("GET", "/v1/devices", token="token-of-eve").status == 401
        assert daemon.stop() == 0
