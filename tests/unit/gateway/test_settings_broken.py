"""Every broken configuration is refused with the line that is wrong, and all problems come at once.

The line that is expected to be named carries the mark `#!`; a file without a mark expects line 1 or the last line.
"""

from pathlib import Path

import pytest
from daemon_texts import SMALLEST

from gateway.settings import Problem, SettingsError, load_settings


def changed(old: str, new: str) -> str:
    assert SMALLEST.count(old) == 1, old
    return SMALLEST.replace(old, new)


def more(text: str) -> str:
    return SMALLEST + text


PLC = '[[device]]\nid = "plc"\nstation = "dock-3"\ndriver = "modbus-poller"\n'
POINT = 'points = [{ name = "p", address = 0, type = "uint16" }]\n'

BROKEN = {
    # not TOML
    "no quotes": (changed('id = "dc07"', "id = dc07  #!"), "text stands in quotes"),
    "curly quotes": (changed('id = "dc07"', "id = “dc07”  #!"), "typographic"),
    "yaml": (changed('id = "dc07"', 'id: "dc07"  #!'), "YAML"),
    "no value": (changed('id = "dc07"', "id =   #!"), "not TOML"),
    "open string": (changed('id = "dc07"', 'id = "dc07  #!'), "not TOML"),
    "open bracket": (changed("[site]", "[site  #!"), "not TOML"),
    "backslash": (changed('path = "/var/lib/dockline"', 'path = "C:\\data"  #!'), "backslash twice"),
    "key twice": (changed('id = "dc07"', 'id = "dc07"\nid = "dc08"  #!'), "already there"),
    "table twice": (more('[site]  #!\nid = "x"\n'), "already there"),
    "prose": (changed('id = "dc07"', 'hello  #!\nid = "dc07"'), 'key = "value"'),
    "open array": (more('[api]\nallowed_hosts = ["a",\n#!'), "not TOML"),
    "array header as table": (changed("[[device]]", "[device]  #!\n"), "two brackets"),
    # tables and keys that do not exist
    "unknown table": (more('[sight]  #!\nid = "x"\n'), 'did you mean "site"?'),
    "plural table": (more("[[devices]]  #!\n"), 'did you mean "device"?'),
    "stray key": ('title = "x"  #!\n' + SMALLEST, "unknown key"),
    "unknown key": (changed('gateway = "dock-pc-1"', 'gateway = "a"\ngatway = "b"  #!'), 'did you mean "gateway"?'),
    "unknown storage key": (changed('path = "/var', 'retention_day = 3  #!\npath = "/var'), '"retention_days"?'),
    "unknown upstream key": (changed('name = "centre"', 'name = "centre"\nurll = "x"  #!'), 'did you mean "url"?'),
    "unknown device key": (changed('driver = "serial', 'termnator = "x"  #!\ndriver = "serial'), '"terminator"'),
    "unknown station key": (changed('id = "dock-3"\n\n', 'id = "dock-3"\nactvity = "pick"  #!\n\n'), '"activity"'),
    "unknown mqtt table": (more('[mqtt.listner]  #!\nbind = "127.0.0.1:1"\n'), 'did you mean "listener"?'),
    "unknown point key": (
        more(
            PLC + 'url = "modbus-tcp://h"\npoints = [{ name = "p", address = 0, type = "uint16", rolover = 9 }]  #!\n'
        ),
        '"rollover"',
    ),
    "secret in the file": (changed('name = "centre"', 'name = "centre"\ntoken = "s3cret"  #!'), "never written here"),
    "password in the broker": (
        more('[mqtt.broker]\nurl = "mqtt://h"\npassword = "hunter2"  #!\n'),
        "never written here",
    ),
    # what is missing
    "no site": (SMALLEST.split("\n\n", 1)[1], "[site] is missing"),
    "no storage": (changed('[storage]\npath = "/var/lib/dockline"\n', ""), "[storage] is missing"),
    "no gateway": (changed("[site]", "[site]  #!").replace('gateway = "dock-pc-1"\n', ""), "gateway: is missing"),
    "no upstream": (
        changed('[[upstream]]\nname = "centre"\nurl = "https://wms.example/v1/events"\n', ""),
        "[[upstream]]",
    ),
    "no url": (
        changed("[[upstream]]", "[[upstream]]  #!").replace('url = "https://wms.example/v1/events"\n', ""),
        "url",
    ),
    "no driver": (changed("[[device]]", "[[device]]  #!").replace('driver = "serial-scanner"\n', ""), "driver"),
    "no device url": (
        changed("[[device]]", "[[device]]  #!").replace('url = "serial:///dev/ttyUSB0?baudrate=9600"\n', ""),
        "url",
    ),
    "no points": (more(PLC.replace("[[device]]", "[[device]]  #!") + 'url = "modbus-tcp://h"\n'), "points"),
    "empty points": (more(PLC + 'url = "modbus-tcp://h"\npoints = []  #!\n'), "must not be empty"),
    # ids and references
    "capital id": (changed('id = "dc07"', 'id = "DC07"  #!'), 'did you mean "dc07"?'),
    "blank in id": (changed('id = "dc07"', 'id = "dc 07"  #!'), 'did you mean "dc-07"?'),
    "empty id": (changed('id = "dc07"', 'id = ""  #!'), "is not an id"),
    "long id": (changed('id = "dc07"', f'id = "{"a" * 64}"  #!'), "is not an id"),
    "id is a number": (changed('id = "dc07"', "id = 7  #!"), 'put it in quotes: "7"'),
    "wildcard in the middle": (changed('id = "dock-3-scanner"', 'id = "dock-*-scanner"  #!'), "is not an id"),
    "topic in a device id": (changed('id = "dock-3-scanner"', 'id = "a/b"  #!'), "is not an id"),
    "unknown station": (changed('station = "dock-3"', 'station = "dock-33"  #!'), 'did you mean "dock-3"?'),
    "far station": (changed('station = "dock-3"', 'station = "yard"  #!'), "add [[station]]"),
    "station twice": (more('[[station]]\nid = "dock-3"  #!\n'), "already used in line 13"),
    "device twice": (
        more('[[device]]\nid = "dock-3-scanner"  #!\nstation = "dock-3"\ndriver = "handheld"\n'),
        "already used in line 16",
    ),
    "upstream twice": (more('[[upstream]]\nname = "centre"  #!\nurl = "https://h/"\n'), "already used in line 9"),
    "port twice": (
        more(
            '[[device]]\nid = "b"\nstation = "dock-3"\ndriver = "serial-scanner"\nurl = "serial:///dev/ttyUSB0"  #!\n'
        ),
        "already used by the device in line 19",
    ),
    "pattern for a port": (changed('id = "dock-3-scanner"', 'id = "dock-*"  #!'), "names many devices"),
    # values
    "unknown activity": (changed('id = "dock-3"\n\n', 'id = "dock-3"\nactivity = "reciept"  #!\n\n'), '"receipt"?'),
    "read point is no uri": (changed('id = "dock-3"\n\n', 'id = "dock-3"\nread_point = "3"  #!\n\n'), "urn:epc"),
    "unknown driver": (changed('driver = "serial-scanner"', 'driver = "serial-scaner"  #!'), '"serial-scanner"?'),
    "shared link as device": (changed('driver = "serial-scanner"', 'driver = "mqtt-listener"  #!'), "[mqtt.listener]"),
    "driver is a number": (changed('driver = "serial-scanner"', "driver = 5  #!"), "must be text"),
    "unknown kind": (changed('name = "centre"', 'name = "centre"\nkind = "http-event"  #!'), '"http-events"?'),
    "unknown profile": (
        changed('driver = "serial', 'profile = "zebra-ds3609"  #!\ndriver = "serial'),
        '"zebra-ds3608"?',
    ),
    "profile of another driver": (
        changed('driver = "serial', 'profile = "zebra-iot-connector"  #!\ndriver = "serial'),
        'is for driver "rfid-reader"',
    ),
    "profile outside its folder": (
        changed('driver = "serial', 'profile = "../../etc/passwd"  #!\ndriver = "serial'),
        "is not found",
    ),
    "bare tty": (changed('url = "serial:///dev/ttyUSB0?baudrate=9600"', 'url = "ttyUSB0"  #!'), "url"),
    "wrong scheme": (
        changed('url = "serial:///dev/ttyUSB0?baudrate=9600"', 'url = "seriel:///dev/x"  #!'),
        "serial://",
    ),
    "modbus option": (more(PLC + POINT + 'url = "modbus-tcp://h?unti=1"  #!\n'), 'did you mean "unit"?'),
    "upstream url": (changed('url = "https://wms.example/v1/events"', 'url = "wms.example"  #!'), "https://"),
    "password in a url": (
        changed('url = "https://wms', 'url = "https://u:pw@wms').replace('/v1/events"', '/v1/events"  #!'),
        "token_file",
    ),
    "number in quotes": (changed('path = "/var', 'retention_days = "14"  #!\npath = "/var'), "write 14 without quotes"),
    "negative": (changed('path = "/var', 'retention_days = -1  #!\npath = "/var'), "greater than or equal to 0"),
    "fraction of bytes": (
        changed('path = "/var', 'bytes_max = 1.5e9\npath = "/var').replace("1.5e9", "1.5  #!"),
        "whole",
    ),
    "truth in quotes": (changed('driver = "serial', 'enabled = "false"  #!\ndriver = "serial'), "write false without"),
    "list expected": (more('[api]\nallowed_hosts = "wms"  #!\n'), "must be a list"),
    "table expected": ("site = 5  #!\n" + SMALLEST.split("\n\n", 1)[1], "must be a table"),
    "bad expression": (more('[labels]\npatterns = [{ kind = "document", expression = "PO-(" }]  #!\n'), "regular"),
    "bad level": (more('[log]\nlevel = "verbose"  #!\n'), "must be one of"),
    "stop too slow": (more("[limits]\nstop_deadline_s = 600  #!\n"), "less than or equal to 60"),
    # what must not face a network
    "api without tls": (more('[api]\nbind = "0.0.0.0:8470"  #!\n'), "without TLS"),
    "lab api on the network": (
        more('[api]\nbind = "0.0.0.0:8470"\ncertificate = "/x"\nkey = "/x"\nunauthenticated = "accept-in-lab"  #!\n'),
        "accept-in-lab",
    ),
    "listener without tls": (more('[mqtt.listener]\nbind = "10.0.0.1:1883"  #!\nusers_file = "/etc/passwd"\n'), "TLS"),
    "lab listener on the network": (
        more('[mqtt.listener]\nbind = "[::]:1883"  #!\nunauthenticated = "accept-in-lab"\n'),
        "accept-in-lab",
    ),
    "no port": (more('[api]\nbind = "127.0.0.1"  #!\n'), "no port"),
    "port too high": (more('[api]\nbind = "127.0.0.1:99999"  #!\n'), "65535"),
    "bare ipv6": (more('[api]\nbind = "::1:80"  #!\n'), "brackets"),
    "no host": (more('[api]\nbind = ":80"  #!\n'), "0.0.0.0"),
    "certificate without key": (more('[api]\ncertificate = "/etc/hostname"  #!\n'), '"key"'),
    # files
    "token file is not there": (
        changed('name = "centre"', 'name = "centre"\ntoken_file = "/nowhere"  #!'),
        "not exist",
    ),
    "ca file is not there": (changed('name = "centre"', 'name = "centre"\nca_file = "/nowhere"  #!'), "does not exist"),
    "two tokens": (
        changed('name = "centre"', 'name = "centre"\ntoken_file = "/a"  #!\ntoken_credential = "b"'),
        "exclude each other",
    ),
    "no such credential": (
        changed('name = "centre"', 'name = "centre"\ntoken_credential = "b"  #!'),
        "LoadCredential=b",
    ),
}


def problems_of(text: str, folder: Path) -> list[Problem]:
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ={})
    return list(caught.value.problems)


def marked_line(text: str) -> int | None:
    return next((number for number, line in enumerate(text.splitlines(), 1) if "#!" in line), None)


def test_there_are_enough_broken_files() -> None:
    assert len(BROKEN) >= 60


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_at_the_right_line_with_a_helpful_word(name: str, tmp_path: Path) -> None:
    text, wanted = BROKEN[name]
    problems = problems_of(text, tmp_path)
    line = marked_line(text) or 1
    assert [problem for problem in problems if problem.line == line and wanted in str(problem)], [*map(str, problems)]
    assert all(problem.file == str(tmp_path / "gateway.toml") for problem in problems)


@pytest.mark.parametrize("name", BROKEN)
def test_one_mistake_is_one_complaint(name: str, tmp_path: Path) -> None:
    """A technician who sees ten complaints looks for ten mistakes."""
    expected = {"two tokens": 2, "lab api on the network": 3}.get(name, 1)
    found = problems_of(BROKEN[name][0], tmp_path)
    assert len({problem.line for problem in found}) <= expected, [*map(str, found)]


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    text = (
        changed('id = "dc07"', 'id = "DC07"')
        .replace('station = "dock-3"', 'station = "dock-4"')
        .replace('name = "centre"', 'nmae = "centre"')
    )
    problems = problems_of(text + '[log]\nlevel = "loud"\n', tmp_path)
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)
    paths = {"site.id", "upstream[1].nmae", "upstream[1].name", "device[1].station", "log.level"}
    assert {problem.path for problem in problems} == paths


def test_a_secret_written_into_the_file_is_not_repeated(tmp_path: Path) -> None:
    text = changed('name = "centre"', 'name = "centre"\ntoken = "s3cret-value"\ntoken_credential = 7')
    assert "s3cret-value" not in "".join(map(str, problems_of(text, tmp_path)))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--config"):
        load_settings(tmp_path / "nowhere.toml")


def test_a_file_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(SMALLEST.replace("dock-pc-1", "Lager-Süd").encode("latin-1"))
    with pytest.raises(SettingsError, match=r"gateway.toml:3: .*UTF-8"):
        load_settings(path)


def test_a_file_that_anybody_may_change_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(SMALLEST)
    path.chmod(0o666)
    with pytest.raises(SettingsError, match="chmod o-w"):
        load_settings(path)
