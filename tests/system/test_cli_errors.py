"""Every way in which a command refuses: the situation, the exit code, the sentence. None is a traceback.

The table names each place in gateway/cli that makes a failure. A new one fails the last test until it is listed here.
"""

from __future__ import annotations

import os
import subprocess
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_scene import Scene, noting_places, places, scene_in
from daemon_process import CONFIG, command

from buffer import OutboxError, OutboxLocked
from gateway.settings import Problem, SettingsError

Situation = Callable[[Scene], list[str]]


@dataclass(frozen=True)
class Row:
    """One refusal."""

    place: str
    code: int
    text: str
    """The beginning of what is said on standard error; `{folder}` is the scene's."""
    situation: Situation
    """Makes it so and returns the command line."""


ROWS: list[Row] = []


def refuses(place: str, code: int, text: str) -> Callable[[Situation], Situation]:
    def keep(situation: Situation) -> Situation:
        ROWS.append(Row(place, code, text, situation))
        return situation

    return keep


def row(place: str, code: int, text: str, *words: str, **situation: typing.Any) -> None:
    """A refusal that needs nothing but an outbox or a talking daemon."""

    def make(scene: Scene) -> list[str]:
        if situation.get("outbox"):
            scene.outbox()
        if "daemon" in situation:
            scene.daemon(situation["daemon"])
        if "config" in situation:
            scene.write(situation["config"])
        for name, error in situation.get("raises", {}).items():
            scene.raises(name, error)
        return [word.replace("{folder}", str(scene.folder)) for word in words]

    ROWS.append(Row(place, code, text, make))


DENIED = PermissionError(13, "Permission denied", "/somewhere")
FULL = OSError(28, "No space left on device", "/somewhere")
LOCKED = OutboxLocked("another process has it")
DAMAGED = OutboxError("the file is damaged", hint="restore a backup")
UPSTREAMS = {
    "/v1/upstreams": {
        "upstreams": [{"name": "centre", "configured": True, "settled_through": 2, "pending": 1, "quarantined": 0}]
    }
}
INIT = ("init", "--yes", "--untested", "--site", "dc07", "--gateway", "g", "--storage", "{folder}/state", "--replace")
CENTRE = ("--upstream", "centre url=http://127.0.0.1:9/")

# -- the outbox, opened without a daemon


@refuses("alone._with_outbox:1", 1, "There is no outbox in {folder}/state.")
def _(scene: Scene) -> list[str]:
    scene.patch.setattr("gateway.cli.upstream._one", lambda *_: {"settled_through": 0})
    return ["upstream", "rename", "centre", "x", "--reason", "r"]


for number, error, code, text in (
    (2, LOCKED, 73, "another process has it"),
    (3, DAMAGED, 74, "the file is damaged"),
    (4, PermissionError(13, "Permission denied"), 77, "{folder}/state: Permission denied"),
):
    row(
        f"alone._with_outbox:{number}",
        code,
        text,
        "upstream",
        "rename",
        "centre",
        "x",
        "--reason",
        "r",
        outbox=True,
        raises={"buffer.Outbox.open": error},
    )
row(
    "alone._with_outbox:5",
    1,
    "upstream 'centre' has a position",
    "upstream",
    "rename",
    "gone",
    "centre",
    "--reason",
    "r",
    outbox=True,
)
row(
    "audit._verified:1",
    1,
    "The journal cannot be read: the file is damaged",
    "audit",
    "verify",
    outbox=True,
    raises={"buffer.OutboxReader.verify": DAMAGED},
)
row("audit.head_of:1", 64, '"x:y" is no head', "audit", "verify", "--head", "x:y", outbox=True)

# -- backup, restore, the end

row("backup.backup:1", 64, "there is no folder {folder}/none", "backup", "{folder}/none/copy")
row(
    "backup.restore:1",
    1,
    "{folder}/state holds an outbox with events up to sequence 3",
    "restore",
    "{folder}/copy",
    outbox=True,
)
row("backup._require_folder:1", 1, "there is no folder {folder}/state", "restore", "{folder}/copy")
row(
    "backup._explained:1",
    73,
    "the daemon runs: another process has it",
    "restore",
    "{folder}/copy",
    outbox=True,
    raises={"buffer.lock.FolderLock.__init__": LOCKED},
)
row("backup._explained:2", 1, "the file is damaged", "rehearse", outbox=True, raises={"buffer.rehearse": DAMAGED})
row(
    "backup._explained:3",
    64,
    "{folder}/gateway.toml exists already; a backup overwrites nothing",
    "backup",
    "{folder}/gateway.toml",
    outbox=True,
)
row(
    "backup._explained:4",
    77,
    "/somewhere: Permission denied",
    "rehearse",
    outbox=True,
    raises={"buffer.rehearse": DENIED},
)
row(
    "decommission.decommission:1",
    64,
    "{folder}/gateway.toml exists already",
    "decommission",
    "--receipt",
    "{folder}/gateway.toml",
)


@refuses("decommission.decommission:2", 1, "nothing was changed")
def _(scene: Scene) -> list[str]:
    import typer

    scene.raises("typer.prompt", typer.Abort())
    return ["decommission"]


row(
    "decommission._survey:1",
    73,
    "the daemon runs: another process has it",
    "decommission",
    outbox=True,
    raises={"gateway.cli.decommission.require_stopped": LOCKED},
)
row(
    "decommission._confirm:2",
    1,
    "The outbox holds events up to sequence 3",
    "decommission",
    "--undelivered",
    "7",
    outbox=True,
)


@refuses("decommission._confirm:1", 1, "nothing was changed")
def _(scene: Scene) -> list[str]:
    scene.patch.setattr("typer.prompt", lambda *_, **__: "no")
    return ["decommission"]


row(
    "decommission._wipe:1",
    73,
    "the daemon runs: another process has it",
    "decommission",
    "--undelivered",
    "3",
    "--yes",
    outbox=True,
    raises={"buffer.wipe": LOCKED},
)

# -- the daemon, and what is not one

row("client.__init__:1", 78, "{folder}/gateway.toml:1: is not TOML", "status", config="[[[")
row("client.__init__:2", 78, "{folder}/gateway.toml does not say where the storage is", "status", config="[site]\n")
row("client._address:2", 69, "No daemon answers: nothing runs on {folder}/state", "top")
row("client.read:1", 1, "there is no outbox in {folder}/state", "events", "list")
row(
    "client.read:2",
    77,
    "{folder}/state: Permission denied",
    "events",
    "list",
    raises={"buffer.OutboxReader.open": PermissionError(13, "Permission denied")},
)
row(
    "client._credential:1",
    77,
    "{folder}/none: No such file or directory",
    "top",
    "--token-file",
    "{folder}/none",
    daemon={},
)


@refuses("client._address:1", 69, "No daemon answers: its API is closed; its log says why")
def _(scene: Scene) -> list[str]:
    scene.addresses(scheme="http")
    return ["top"]


@refuses("client._exchange:1", 69, "No daemon answers: [Errno 111] Connection refused")
def _(scene: Scene) -> list[str]:
    scene.addresses(scheme="http", api="127.0.0.1:9")
    return ["top"]


@refuses("client._connect:1", 77, "the certificate of [api] cannot be read: No such file")
def _(scene: Scene) -> list[str]:
    scene.addresses(scheme="https", api="127.0.0.1:9")
    scene.write(more=f'certificate = "{scene.folder}/none.pem"\n')
    return ["top"]


def answering(status: int, body: bytes, *words: str) -> Situation:
    def make(scene: Scene) -> list[str]:
        scene.daemon(status=status, raw=body)
        return [word.replace("{folder}", str(scene.folder)) for word in words]

    return make


ERROR = b'{"error": {"code": "x", "message": "there is no such thing", "hint": "look again"}}'
ROWS += [
    Row(
        "client._json_of:1",
        69,
        "No daemon answers: what answered is not this program",
        answering(200, b"<html>", "top"),
    ),
    Row(
        "client._failure_of:1",
        69,
        "No daemon answers: what answered is not this program (status 500)",
        answering(500, b"<html>", "top"),
    ),
    Row("client._failure_of:2", 77, "there is no such thing", answering(401, ERROR, "top")),
    Row("client._failure_of:3", 1, "there is no such thing", answering(404, ERROR, "events", "show", "7")),
]


class Cut:
    """An answer that breaks off."""

    length = 10

    def read(self, _: int) -> bytes:
        raise OSError("connection reset")


@refuses("client._piece_of:1", 1, "the daemon's answer broke off: connection reset")
def _(scene: Scene) -> list[str]:
    from contextlib import contextmanager

    @contextmanager
    def cut(*_: object, **__: object) -> typing.Iterator[Cut]:
        yield Cut()

    scene.outbox()
    scene.patch.setattr("gateway.cli.client.Site._request", cut)
    return ["backup", str(scene.folder / "copy")]


@refuses("client.download:1", 1, "the daemon's answer broke off after 0 of 10 bytes")
def _(scene: Scene) -> list[str]:
    from contextlib import contextmanager
    from io import BytesIO

    class Short(BytesIO):
        length = 10

    @contextmanager
    def cut(*_: object, **__: object) -> typing.Iterator[Short]:
        yield Short()

    scene.outbox()
    scene.patch.setattr("gateway.cli.client.Site._request", cut)
    return ["backup", str(scene.folder / "copy")]


# -- devices and events

row(
    "devices._check_device:1", 64, 'There is no device "dock-3-scaner".', "devices", "watch", "dock-3-scaner", daemon={}
)
row("listening.wanted_of:1", 64, '"mqtt://" cannot be listened to.', "devices", "probe", "mqtt://x")
row("listening.wanted_of:2", 64, '"serial:///dev/x?y=1": unknown "y"', "devices", "probe", "serial:///dev/x?y=1")
row("listening.wanted_of:3", 64, 'There is no device "x".', "devices", "probe", "x")
row("listening.wanted_of:4", 64, "hh-* comes to the gateway; there is nothing to open.", "devices", "probe", "hh-*")
row(
    "doctor._bundled:1",
    77,
    "{folder}/b: Permission denied",
    "doctor",
    "--bundle",
    "{folder}/b",
    raises={"gateway.doctor.bundle.write_bundle": PermissionError(13, "Permission denied")},
)
row("doctor._bundled:2", 74, "{folder}/none/b: No such file or directory", "doctor", "--bundle", "{folder}/none/b")
row("events._journey:1", 1, "There is no such event here.", "events", "show", "99", outbox=True)
row("options.check_type:1", 64, 'There is no event type "recipt".', "events", "list", "--type", "recipt")
row(
    "export.export_events:1",
    64,
    "--hash-ids is about EPCIS event ids.",
    "events",
    "export",
    "--format",
    "csv",
    "--hash-ids",
)
row(
    "export._write:1",
    74,
    "{folder}/none/x: No such file or directory",
    "events",
    "export",
    "--format",
    "ndjson",
    "--out",
    "{folder}/none/x",
    outbox=True,
)
row("quarantine.list_quarantine:1", 64, '"opn" is no state', "quarantine", "list", "--state", "opn")
row(
    "quarantine._show_offline:1",
    1,
    "This event is not in quarantine for that upstream.",
    "quarantine",
    "show",
    "centre",
    "3",
    outbox=True,
)
row(
    "quarantine._chosen:1",
    64,
    "Name sequences, or a reason with --rejected-for.",
    "quarantine",
    "retry",
    "centre",
    "--reason",
    "r",
)
row(
    "quarantine._chosen:2",
    1,
    'Nothing waits for centre with "x" in its reason.',
    "quarantine",
    "retry",
    "centre",
    "--rejected-for",
    "x",
    "--reason",
    "r",
    daemon={"/v1/quarantine": {"quarantine": []}},
)


@refuses("quarantine.discard_quarantine:1", 1, "They are 2; nothing was discarded.")
def _(scene: Scene) -> list[str]:
    scene.patch.setattr("typer.prompt", lambda *_, **__: 3)
    return ["quarantine", "discard", "centre", "1", "2", "--reason", "r"]


row("replay.replay:1", 1, "Say why, with --reason; it is kept in the audit.", "replay", "centre")
row("replay.replay:2", 64, "Name the upstream.", "replay", "--reason", "r")
row(
    "upstream.rewind_upstream:1",
    64,
    "centre is at 2: a position only goes back.",
    "upstream",
    "rewind",
    "centre",
    "--to",
    "9",
    "--reason",
    "r",
    daemon=UPSTREAMS,
)
row(
    "upstream.remove_upstream:1",
    64,
    "centre is in {folder}/gateway.toml.",
    "upstream",
    "remove",
    "centre",
    "--reason",
    "r",
    daemon=UPSTREAMS,
)
row(
    "upstream._one:1",
    64,
    'There is no upstream "x" with a position here.',
    "upstream",
    "rewind",
    "x",
    "--to",
    "0",
    "--reason",
    "r",
    daemon=UPSTREAMS,
)

# -- documents, labels, schemas, tokens


@refuses("expectations.import_expectations:1", 1, "{folder}/x.json: not JSON: ")
def _(scene: Scene) -> list[str]:
    (scene.folder / "x.json").write_text("{")
    return ["expectations", "import", str(scene.folder / "x.json")]


@refuses("expectations.import_expectations:2", 1, "{folder}/x.json: number 1: ")
def _(scene: Scene) -> list[str]:
    (scene.folder / "x.json").write_text("{}")
    return ["expectations", "import", str(scene.folder / "x.json")]


row("expectations._path:1", 1, "a document has an id", "expectations", "remove", "")
row("demo._play:1", 1, 'There is no scenario "eight-percent-undr".', "demo", "--scenario", "eight-percent-undr")
row("labels.labels:1", 64, '"a3" is no paper size', "labels", "{folder}/x.pdf", "--paper", "a3")
row("labels._commands:1", 78, "there are no command labels", "labels", "{folder}/x.pdf")
PREFIX = f'{CONFIG}\n[labels]\ncommand_prefix = "DKL:"\n'
row("labels._commands:2", 64, '"many" is not a quantity', "labels", "{folder}/x.pdf", "-q", "many", config=PREFIX)
row(
    "labels._own:1",
    78,
    '[labels] printed: "NOTHING"',
    "labels",
    "{folder}/x.pdf",
    config=f'{PREFIX}printed = ["NOTHING"]\n',
)
PATTERN = '[[labels.patterns]]\nkind = "location"\nexpression = "R-.*"\n'
row(
    "labels.labels:2",
    1,
    "A label cannot be printed: ",
    "labels",
    "{folder}/x.pdf",
    config=f'{PREFIX}printed = ["R-\\u00e4"]\n{PATTERN}',
)
row("schema.schema:1", 1, "{folder}/gateway.toml: ", "schema", "--write", "{folder}/gateway.toml")
row("schema.schema:2", 1, 'There is no schema "reciept".', "schema", "reciept")
row("token.token:1", 64, '"boss" is no role', "token", "x", "--role", "boss")
row("token.token:2", 64, '"A B" is not an id', "token", "A B")
row(
    "token.token:3",
    64,
    'a token of role "viewer" speaks for no device',
    "token",
    "x",
    "--role",
    "viewer",
    "--device",
    "hh-1",
)
row("problems.load_or_fail:1", 78, "{folder}/gateway.toml:", "check", config=CONFIG.replace("pick", "pik"))

# -- the set-up

row("init.init:1", 64, "There is no terminal to ask at.", "init")


row("let_in.let_in:1", 64, "--user is for the built-in MQTT.", *INIT, "--user", "hh-1")
row("let_in.let_in:2", 64, "the role is one of device, viewer", *INIT, "--token", "anna role=boss")
row("exceptions.list_exceptions:1", 64, 'There is no state "opne".', "exceptions", "list", "--state", "opne")


@refuses("init._check_writable:1", 77, "You may not write to {folder}.")
def _(scene: Scene) -> list[str]:
    scene.patch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    return ["init", "--yes"]


row("init._check_there:1", 1, "{folder}/gateway.toml is there already; nothing was changed.", "init", "--yes")
row("init._fill:1", 64, '"x=1" must begin with the id', *INIT, "--station", "x=1")
row("init._try_all:1", 78, "no [[upstream]]", *INIT, "--station", "x")
row(
    "init._try_all:2",
    1,
    "centre does not work yet; nothing was written.",
    *(word for word in INIT if word != "--untested"),
    *CENTRE,
)
WRONG = SettingsError([Problem("gateway.toml", 1, "", "is wrong")])
row(
    "init._install:1",
    78,
    "gateway.toml:1: is wrong\nNothing was written.",
    *INIT,
    *CENTRE,
    raises={"gateway.setup.install.install": WRONG},
)
row(
    "init._install:2",
    77,
    "/somewhere: Permission denied",
    *INIT,
    *CENTRE,
    raises={"gateway.setup.install.install": DENIED},
)
row(
    "init._install:3",
    74,
    "/somewhere: No space left on device",
    *INIT,
    *CENTRE,
    raises={"gateway.setup.install.install": FULL},
)


def at_a_terminal(scene: Scene) -> None:
    """As if somebody had answered everything."""
    scene.patch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    scene.patch.setattr("typer.confirm", lambda *_, **__: True)
    scene.patch.setattr(
        "gateway.cli.interview.Interview.hold",
        lambda self: self.draft.upstreams.append({"name": "centre", "url": "http://127.0.0.1:9/"}),
    )


@refuses("init._interview:1", 78, "gateway.toml:1: is wrong")
def _(scene: Scene) -> list[str]:
    at_a_terminal(scene)
    scene.raises("gateway.cli.interview.Interview.hold", WRONG)
    return ["init", "--replace"]


@refuses("init._first_scan:1", 69, "No daemon answers: nothing runs on {folder}/state")
def _(scene: Scene) -> list[str]:
    at_a_terminal(scene)
    return ["init", "--replace", "--site", "dc07", "--gateway", "g", "--storage", str(scene.state)]


@refuses("init._started:1", 1, "The service does not start.")
def _(scene: Scene) -> list[str]:
    at_a_terminal(scene)
    scene.patch.setattr("gateway.cli.init.DEFAULT_CONFIG", scene.config)
    scene.patch.setattr("pathlib.Path.is_dir", lambda _: True)
    scene.patch.setattr("shutil.which", lambda _: "/bin/systemctl")
    scene.patch.setattr("subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    return ["init", "--replace", "--site", "dc07", "--gateway", "g", "--storage", str(scene.state)]


def simulating(*words: str, **files: bytes) -> Situation:
    """A simulator beside files of these names."""

    def make(scene: Scene) -> list[str]:
        for name, content in files.items():
            (scene.folder / name.replace("_", ".")).write_bytes(content)
        return ["simulate", *(word.replace("{folder}", str(scene.folder)) for word in words)]

    return make


HANDHELD = ("handheld", "hh-1", "--site", "dc07", "--folder", "{folder}")
ROWS += [
    Row("playing._told:1", 1, "cannot: {folder}/dock is there", simulating("scanner", "{folder}/dock", dock=b"")),
    Row("playing.check_empty:1", 1, "{folder} is there already", simulating("site", "{folder}", used=b"")),
    Row("playing.check_labels:1", 64, "--code: '\\udcff' is no text", simulating(*HANDHELD, "--code", "\udcff")),
    Row("playing.check_url:1", 64, '--url: "ftp://a" is no address', simulating("rfid", "p", "--url", "ftp://a")),
    Row(
        "playing.read_secret:1",
        1,
        "{folder}/password: is no text",
        simulating(*HANDHELD, "--password-file", "{folder}/password", password=b"\xff\xfe"),
    ),
    Row(
        "playing.read_secret:2",
        1,
        "{folder}/password: is empty",
        simulating(*HANDHELD, "--password-file", "{folder}/password", password=b"\n"),
    ),
    Row(
        "simulate.handheld:1", 1, "{folder}/hh-1.scans holds something", simulating(*HANDHELD, **{"hh-1_scans": b"5\n"})
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda one: one.place)
def test_it_is_one_sentence_with_its_exit_code(row: Row, tmp_path: Path) -> None:
    with scene_in(tmp_path) as scene:
        words = row.situation(scene)
        # Not every command has a configuration; those that have one take the scene's.
        takes_one = words[0] not in {"token", "schema", "demo", "simulate"} and "--config" not in words
        with noting_places() as made:
            done = command(*words, *(("--config", str(scene.config)) if takes_one else ()))
    assert "Traceback" not in done.stdout + done.stderr
    assert row.place in made(), (made(), done)
    assert done.returncode == row.code, done
    assert row.text.replace("{folder}", str(tmp_path)) in done.stderr


def test_every_place_that_makes_a_failure_is_listed() -> None:
    """A new message fails this until somebody has seen how it reads."""
    assert sorted(one.place for one in ROWS) == sorted(places())
