"""What the documentation shows works: configurations load, commands and their options exist, links lead somewhere."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from quick_start import steps, typed_in_run, version_named

from gateway import daemon
from gateway.cli import EPILOG, build_app, errors
from gateway.settings import SettingsError, load_settings

ROOT = Path(__file__).parents[2]
TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_HERE = re.compile(r'"/etc/dockline/[a-z./-]+" does not exist( or is not a file)?')
"""The only thing that may be wrong with an example: the files it names are on the reader's computer."""
PROGRAM: Any = typer.main.get_command(build_app())


def blocks(page: Path, kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text()) if found == kind]


def toml_examples() -> Iterator[tuple[str, str]]:
    """Yield each example as a whole file: a part stands after the beginning that its page, or devices.md, gives."""
    beginning = blocks(ROOT / "docs" / "devices.md", "toml")[0]
    for page in PAGES:
        for number, text in enumerate(blocks(page, "toml"), 1):
            yield f"{page.name}-{number}", text if "[site]" in text else joined(beginning, text)


def joined(beginning: str, part: str) -> str:
    """A station that the part brings itself is not taken from the beginning as well."""
    own = re.findall(r'^\[\[station\]\]\nid = "(.+)"', part, re.MULTILINE)
    for name in own:
        beginning = re.sub(rf'\[\[station\]\]\nid = "{name}"\n(?:\w.*\n)*', "", beginning)
    return f"{beginning}\n{part}"


def problems(text: str, folder: Path) -> list[str]:
    """Return what the loader finds wrong, except for files that only a site has."""
    path = folder / "gateway.toml"
    path.write_text(text)
    try:
        load_settings(path, environ={}, must_run=False)
    except SettingsError as error:
        return [str(problem) for problem in error.problems if not NOT_HERE.fullmatch(problem.what)]
    return []


EXAMPLES = dict(toml_examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_configuration_that_is_shown_loads(name: str, tmp_path: Path) -> None:
    assert problems(EXAMPLES[name], tmp_path) == []


def test_a_wrong_example_would_have_been_noticed(tmp_path: Path) -> None:
    text = EXAMPLES["devices.md-2"]
    assert 'url = "serial://' in text
    assert "url" in problems(text.replace('url = "serial://', 'url = "seriel://'), tmp_path)[0]
    assert problems(text.replace("zebra-ds3608", "zebra-ds36O8"), tmp_path) != []


def test_every_driver_has_an_example() -> None:
    shown = "\n".join(blocks(ROOT / "docs" / "devices.md", "toml"))
    drivers = {"serial-scanner", "tcp-scanner", "modbus-poller", "handheld", "rfid-reader"}
    assert set(re.findall(r'^driver = "(.+)"', shown, re.MULTILINE)) == drivers


def command_lines() -> Iterator[tuple[str, str]]:
    """Yield the page and the words after `dockline` of every command line, in text and in blocks."""
    for page in PAGES:
        text = page.read_text()
        for line in re.findall(r"`dockline ([^`]+)`", text):
            yield page.name, line.replace("\\|", "|")
        for block in blocks(page, "sh"):
            whole = block.replace("\\\n", " ")
            for line in re.findall(r"(?:^|&& |/bin/)dockline ([a-z-][^\n>|;&#]*)", whole, re.MULTILINE):
                yield page.name, line


def commands_of(words: list[str]) -> Iterator[Any]:
    """Yield what the words name; `a b | c` names two commands of the group a. Raises KeyError."""
    found = PROGRAM
    while isinstance(found, typer.core.TyperGroup) and words and not words[0].startswith("-"):
        if words[1:2] == ["|"]:
            for word in words:
                if word != "|":
                    yield found.commands[word]
            return
        found = found.commands[words.pop(0)]
    yield found


def unknown_in(line: str) -> list[str]:
    """Return the words of a command line that the program would not take."""
    words = shlex.split(line)
    if words[0].isupper():
        return []
    try:
        found = list(commands_of(words))
    except KeyError as error:
        return [str(error.args[0])]
    known = {option for command in found for param in command.params for option in param.opts} | {"--help"}
    return [word for word in words if word.startswith("-") and word.partition("=")[0] not in known]


LINES = sorted(set(command_lines()))


@pytest.mark.parametrize(("page", "line"), LINES)
def test_every_command_that_is_shown_exists_with_its_options(page: str, line: str) -> None:
    assert unknown_in(line) == []


@pytest.mark.parametrize(
    "line", ["frobnicate", "events lst", "status --jason", "events list | shw", "simulate plc --prt 1"]
)
def test_a_command_that_does_not_exist_would_have_been_noticed(line: str) -> None:
    assert unknown_in(line) != []


def test_the_readme_names_every_command() -> None:
    named = {line.split()[0] for page, line in LINES if page == "README.md"}
    assert set(PROGRAM.commands) <= named


def test_every_exit_code_is_documented() -> None:
    named = {
        value for module in (errors, daemon) for name, value in vars(module).items()
        if name.startswith("EXIT_") and isinstance(value, int)
    }  # fmt: skip
    assert named <= set(errors.EXIT_CODES)
    in_help = {int(code) for code in re.findall(r"\b(\d{1,3}) [a-z]", EPILOG)}
    assert set(errors.EXIT_CODES) - {errors.EXIT_INTERRUPTED} == in_help


def test_whatever_lists_prints_json_when_asked() -> None:
    without = [
        f"{name} list"
        for name, group in PROGRAM.commands.items()
        for child, command in getattr(group, "commands", {}).items()
        if child == "list" and "as_json" not in {param.name for param in command.params}
    ]
    assert without == []


def test_every_command_has_help() -> None:
    nameless = [name for name, command in PROGRAM.commands.items() if not command.help]
    for group in PROGRAM.commands.values():
        nameless += [name for name, command in getattr(group, "commands", {}).items() if not command.help]
    assert nameless == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_copies_is_there(page: Path) -> None:
    named = [
        name for block in blocks(page, "sh") for name in re.findall(r"(?<![/\w])(?:config|systemd)/[\w.-]+", block)
    ]
    assert [name for name in named if not (ROOT / name).exists()] == []


FOLDERS = "gateway|drivers|buffer|sync|simulators|config|systemd|tests|docs"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./-]*[\w/])`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    assert [name for name in NAMED.findall(page.read_text()) if not (ROOT / name).exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    reading = text[text.index("## Reading on") :]
    linked = set(re.findall(r"\]\(([^)#\s]+)", reading))
    pages = {path.relative_to(ROOT).as_posix() for path in PAGES} - {"README.md"}
    assert pages - linked == set()


def test_the_quick_start_installs_the_version_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version_named() == project["version"]


def test_the_run_that_is_kept_typed_what_the_quick_start_says() -> None:
    again = "run: DOCKLINE_RECORD=1 make install-test ARGS=tests/system/test_quick_start.py"
    assert typed_in_run() == [block for blocks_of_step in steps().values() for block in blocks_of_step], again


def test_the_map_of_the_house_has_every_package_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    told = {name.rstrip("/") for row in rows for name in re.findall(r"`([\w/]+)`", row)}
    packages = ("gateway", "drivers", "buffer", "sync", "simulators")
    there = {path.parent.relative_to(ROOT).as_posix() for top in packages for path in (ROOT / top).rglob("__init__.py")}
    assert there - told == set(), "docs/architecture.md lacks a package"
    assert {name for name in told if not (ROOT / name).is_dir()} == set(), "docs/architecture.md names what is gone"
