"""From a fresh Debian to a delivered scan, and through every upgrade, with a booted systemd. `make install-test`."""

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_root import DebianRoot, until
from package_builds import (
    build,
    with_broken_migration,
    with_schema,
    with_schema_and_sudden_death,
    with_sudden_death,
)

pytestmark = [pytest.mark.install, pytest.mark.long]

SITE = """\
[site]
id = "dc07"
gateway = "dock-pc-1"

[storage]
path = "/var/lib/dockline"

[[upstream]]
name = "centre"
url = "http://127.0.0.1:8480/v1/events"
token_credential = "centre-token"
backoff_max_s = 2.0

[[station]]
id = "floor"
activity = "pick"

[[device]]
id = "hh-*"
station = "floor"
driver = "handheld"

[mqtt.listener]
bind = "127.0.0.1:1884"
unauthenticated = "accept-in-lab"
"""
DROP_IN = "[Service]\nLoadCredential=centre-token:/etc/dockline/secrets/centre-token\n"
TOKEN = "s3cret-token-of-the-centre"
KILLS = 8


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every version a gateway meets here."""
    kept = os.environ.get("DOCKLINE_TEST_PACKAGES")  # for whoever writes these tests: build once
    folder = Path(kept) if kept else tmp_path_factory.mktemp("packages")
    changes = {
        "1.0.0": None,
        "1.0.1": None,
        "1.0.2": with_broken_migration,
        "1.0.3": with_sudden_death,
        "1.1.0": with_schema_and_sudden_death,
        "1.1.1": with_schema,
    }
    built = {version: next(folder.glob(f"dockline_{version}_*.deb"), None) for version in changes}
    return {version: built[version] or build(folder, version, change) for version, change in changes.items()}


@pytest.fixture(scope="module")
def machine(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRoot]:
    """A fresh Debian with the first version, installed as a person would."""
    made = DebianRoot(tmp_path_factory.mktemp("machine"), packages["1.0.0"].parent)
    try:
        told = made.install(packages["1.0.0"])
        assert "the service runs" in said(told)
        yield made
    finally:
        made.close()


@pytest.fixture
def site(machine: DebianRoot, packages: dict[str, Path]) -> DebianRoot:
    """The machine with version 1.0.0, set up, without a centre, its outbox as the test before left it."""
    if not (machine.root / "opt/dockline/current").exists() or machine.status().get("version") != "1.0.0":
        machine.install(packages["1.0.0"])
    machine.run("systemctl", "stop", "centre", check=False)
    set_up(machine)
    until(lambda: machine.status().get("ready"), "the gateway is ready")
    return machine


def said(done: "subprocess.CompletedProcess[str]") -> str:
    """Everything a command said, on one line; apt gives scripts a terminal of its own, with edges to fold at."""
    return " ".join((done.stdout + done.stderr).split())


def set_up(machine: DebianRoot) -> None:
    machine.run("sh", "-c", "install -o dockline -g dockline -m 600 /dev/stdin /etc/dockline/secrets/centre-token",
                text=TOKEN)  # fmt: skip
    machine.write("/etc/systemd/system/dockline.service.d/token.conf", DROP_IN)
    machine.write("/etc/dockline/gateway.toml", SITE)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "dockline")


def scan(machine: DebianRoot, count: int, device: str = "hh-1") -> None:
    """Have a handheld scan; it goes on until each scan was acknowledged."""
    machine.run("mkdir", "-p", "/srv/handheld")
    machine.run("dockline", "simulate", "handheld", device, "--site", "dc07", "--count", str(count), "--interval", "0",
                "--folder", "/srv/handheld")  # fmt: skip


def start_centre(machine: DebianRoot) -> None:
    machine.write("/srv/token", TOKEN)
    machine.run("systemd-run", "--unit=centre", "--collect", "dockline", "simulate", "centre", "--ledger",
                "/srv/ledger.ndjson", "--token-file", "/srv/token")  # fmt: skip


def all_delivered(machine: DebianRoot) -> bool:
    books = [one for one in machine.status().get("upstreams", ()) if one["name"] == "centre"]
    return bool(books) and books[0]["pending"] == 0 and books[0]["imbalance"] == 0 and books[0]["delivered"] > 0


def accepted(machine: DebianRoot) -> int:
    return int(machine.status()["upstreams"][0]["accepted"])


def delivered_once(machine: DebianRoot) -> int:
    """Start the centre, wait until it has everything, and return how many events it has, each once."""
    start_centre(machine)
    until(lambda: all_delivered(machine), "everything is delivered")
    ids = re.findall(r'"id": ?"([0-9a-f-]{36})"', machine.run("cat", "/srv/ledger.ndjson").stdout)
    assert ids
    return len(set(ids))


def test_a_fresh_installation_runs_on_loopback_and_says_what_is_missing(machine: DebianRoot) -> None:
    assert machine.run("systemctl", "is-active", "dockline").stdout.strip() == "active"
    assert machine.run("systemctl", "is-enabled", "dockline").stdout.strip() == "enabled"
    listening = machine.run("ss", "-Hltn").stdout.split("\n")
    ours = [line.split()[3] for line in listening if line]
    assert ours and all(address.startswith("127.0.0.1:") for address in ours)
    told = machine.run("dockline", "status").stdout
    assert "not set up yet" in told
    assert machine.run("dpkg", "--verify", "dockline").stdout == ""
    assert machine.run("stat", "-c", "%a %U %G", "/etc/dockline/gateway.toml").stdout.strip() == "640 root dockline"
    assert machine.run("stat", "-c", "%a %U", "/var/lib/dockline").stdout.strip() == "700 dockline"
    owner = machine.run("ps", "-o", "user=", "-p", machine.main_pid()).stdout.strip()
    assert owner == "dockline"


def test_an_ordinary_user_may_look_and_not_act(machine: DebianRoot) -> None:
    """Neither the configuration nor the outbox is theirs to read; the local socket is theirs to ask."""
    as_nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    told = machine.run(*as_nobody, "dockline", "status", "--json")
    assert '"ready": true' in told.stdout
    refused = machine.run(*as_nobody, "dockline", "backup", "/tmp/mine", check=False)
    assert refused.returncode == 77 and 'needs the role "admin"' in refused.stderr
    assert not (machine.root / "tmp/mine").exists()
    machine.run("dockline", "backup", "/var/tmp/first.backup")
    assert "cli:root" in machine.run("dockline", "audit", "list").stdout


def test_man_pages_and_completion_are_there(machine: DebianRoot) -> None:
    for path in ("man/man1/dockline.1.gz", "bash-completion/completions/dockline", "zsh/vendor-completions/_dockline",
                 "fish/vendor_completions.d/dockline.fish"):  # fmt: skip
        assert (machine.root / "usr/share" / path).exists() or "man/" in path, path
    asked = machine.run(
        "env", "_DOCKLINE_COMPLETE=complete_bash", "COMP_WORDS=dockline stat", "COMP_CWORD=1", "dockline"
    )
    assert asked.stdout.split() == ["status"]


def test_a_scan_is_delivered_with_a_credential_and_a_broken_reload_changes_nothing(site: DebianRoot) -> None:
    scan(site, 5)
    before = delivered_once(site)
    site.write("/etc/dockline/gateway.toml", SITE.replace("[[upstream]]", "[[upstraem]]"))
    site.run("systemctl", "reload", "dockline", check=False)
    until(lambda: any(one["code"] == "configuration_refused" for one in site.status()["alarms"]), "it is refused")
    scan(site, 5)
    site.write("/etc/dockline/gateway.toml", SITE)
    site.run("systemctl", "reload", "dockline")
    until(lambda: not site.status()["alarms"], "the alarm ends")
    until(lambda: all_delivered(site), "everything is delivered")
    assert before >= 5


def test_a_daemon_that_hangs_is_started_again_by_the_watchdog(site: DebianRoot) -> None:
    pid = site.main_pid()
    site.run("kill", "-STOP", pid)
    until(lambda: site.main_pid() not in {pid, "0"}, "systemd starts another")
    until(lambda: site.status().get("ready"), "it is ready")
    assert "watchdog" in site.run("journalctl", "-u", "dockline", "--no-pager").stdout.lower()


def test_an_upgrade_over_a_full_outbox_loses_nothing_and_keeps_the_configuration(
    site: DebianRoot, packages: dict[str, Path]
) -> None:
    """Five hundred scans and no centre; a new version comes, handhelds scan on, then the centre is back."""
    scan(site, 500)
    held = accepted(site)
    told = site.install(packages["1.0.1"])
    assert "version 1.0.1 is installed" in said(told) and "events proved" in said(told)
    assert site.run("cat", "/etc/dockline/gateway.toml").stdout == SITE
    assert site.status()["version"] == "1.0.1"
    scan(site, 10, "hh-2")
    assert accepted(site) >= held + 10
    assert delivered_once(site) >= accepted(site)
    assert site.run("ls", "/opt/dockline/releases").stdout.split() == ["1.0.1"]
    site.install(packages["1.0.0"])
    assert site.status()["version"] == "1.0.0", "a version with the same schema may come back"


def test_a_version_that_cannot_take_the_outbox_is_never_switched_to(
    site: DebianRoot, packages: dict[str, Path]
) -> None:
    scan(site, 20)
    held, pid = accepted(site), site.main_pid()
    told = site.install(packages["1.0.2"], check=False)
    assert told.returncode != 0 and "was NOT switched to" in said(told)
    assert site.main_pid() == pid, "the old one was not even stopped"
    assert site.status()["version"] == "1.0.0" and accepted(site) >= held
    scan(site, 5)
    site.install(packages["1.0.0"])


@pytest.mark.parametrize("version", ["1.0.3", "1.1.0"])
def test_a_version_that_does_not_stay_up_is_rolled_back_with_its_outbox(
    site: DebianRoot, packages: dict[str, Path], version: str
) -> None:
    """1.1.0 has migrated the outbox by then: the copy from before comes back, and not an event is missing."""
    scan(site, 20)
    held = accepted(site)
    told = site.install(packages[version], check=False)
    assert told.returncode != 0 and "going back" in said(told)
    until(lambda: site.status().get("ready"), "the old version runs")
    assert site.status()["version"] == "1.0.0" and accepted(site) >= held
    assert site.run("dockline", "audit", "verify").returncode == 0
    scan(site, 5)
    site.install(packages["1.0.0"])
    assert delivered_once(site) >= held


def test_an_upgrade_killed_anywhere_leaves_a_version_that_works(site: DebianRoot, packages: dict[str, Path]) -> None:
    """The plug is pulled in the middle of apt. One whole version runs, and dpkg can go on."""
    rng = random.Random(20261125)
    scan(site, 20)
    held = accepted(site)
    for turn in range(KILLS):
        target = packages["1.0.1" if turn % 2 == 0 else "1.0.0"]
        with site.spawn("dpkg", "-i", f"/packages/{target.name}") as running:
            time.sleep(rng.uniform(0.2, 6.0))
            kill_tree(running)
        version = site.run("dockline", "--version").stdout.split()[-1]
        assert version in {"1.0.0", "1.0.1"}
        site.run("dpkg", "--install", f"/packages/{target.name}")
        until(lambda: site.status().get("ready"), "a gateway runs")
        assert accepted(site) >= held
    assert site.run("dockline", "audit", "verify").returncode == 0


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL the whole session a command began, deepest first."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--sid", str(process.pid)], capture_output=True, text=True, check=False
    )
    for pid in reversed(listed.stdout.split()):
        subprocess.run(["kill", "-KILL", pid], check=False, stderr=subprocess.DEVNULL)
    process.send_signal(signal.SIGKILL)


def test_a_newer_schema_goes_forward_and_the_older_version_is_refused(
    site: DebianRoot, packages: dict[str, Path]
) -> None:
    """Five hundred scans wait while the outbox changes its schema; each reaches the centre once."""
    scan(site, 500)
    held = accepted(site)
    told = said(site.install(packages["1.1.1"]))
    before, after = re.findall(r"schema (\d+) to (\d+), \d+ events proved", told)[0]
    assert int(after) == int(before) + 1
    assert site.status()["version"] == "1.1.1" and accepted(site) >= held
    scan(site, 10, "hh-2")
    assert delivered_once(site) >= accepted(site) >= held + 10
    site.run("systemctl", "stop", "centre")
    told = site.install(packages["1.0.1"], check=False)
    assert told.returncode != 0 and "a newer version wrote it" in said(told)
    assert site.status()["version"] == "1.1.1" and accepted(site) >= held
    assert site.run("dpkg", "--audit").stdout == ""


def test_removing_keeps_data_purging_asks_and_reinstalling_finds_it(
    machine: DebianRoot, packages: dict[str, Path]
) -> None:
    held = accepted(machine)
    told = machine.run("apt-get", "remove", "-y", "dockline")
    assert "stay" in said(told)
    assert machine.run("systemctl", "is-active", "dockline", check=False).stdout.strip() == "inactive"
    assert not (machine.root / "opt/dockline").exists()
    assert machine.run("cat", "/etc/dockline/gateway.toml").stdout == SITE
    machine.install(packages["1.1.1"])
    until(lambda: machine.status().get("ready"), "it runs again")
    assert accepted(machine) >= held
    told = machine.run("apt-get", "purge", "-y", "dockline")
    assert "was kept" in said(told), "nobody was there to answer: everything stays"
    assert (machine.root / "var/lib/dockline/outbox.db").exists()
    assert (machine.root / "etc/dockline/secrets/centre-token").exists()
    machine.install(packages["1.1.1"])
    machine.run("debconf-set-selections", text="dockline dockline/purge-data boolean true\n")
    told = machine.run("apt-get", "purge", "-y", "dockline")
    assert "were deleted" in said(told)
    assert not (machine.root / "var/lib/dockline").exists()
    assert not (machine.root / "etc/dockline").exists()
