"""The Debian package: what is in it, who may do what with it, and that nothing of the builder's computer is."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_builds import ROOT, build

DEB = ROOT / "systemd" / "deb"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


def run(*words: str | Path) -> str:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Uncompressed: a minute is saved, and nothing here is about compression."""
    return build(tmp_path_factory.mktemp("package"), "1.2.3")


@pytest.fixture(scope="module")
def root(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it unpacks to, with its control files in DEBIAN."""
    folder = tmp_path_factory.mktemp("root")
    run("dpkg-deb", "--raw-extract", package, folder)
    return folder


@pytest.fixture(scope="module")
def release(root: Path) -> Path:
    return root / "opt/dockline/releases/1.2.3"


def files(root: Path) -> Iterator[Path]:
    yield from (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def test_the_release_carries_exactly_what_the_lock_pins(release: Path) -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    found = {
        tuple(re.search(rf"^{key}: (.+)$", text, re.MULTILINE)[1] for key in ("Name", "Version"))  # type: ignore[index]
        for text in (path.read_text() for path in release.glob("lib/python3.11/site-packages/*.dist-info/METADATA"))
    }
    named = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found}
    assert named == {*pinned, ("dockline", "1.2.3")}


def test_nothing_names_a_folder_of_the_builder(root: Path, package: Path) -> None:
    """Neither the sources nor the folder it was built in; not even compiled."""
    ours = [str(ROOT).encode(), str(package.parent).encode(), b"/tmp/tmp."]
    guilty = [
        (path.relative_to(root).as_posix(), word)
        for path in files(root)
        for word in ours
        if word in (content := path.read_bytes()) and not (word == b"/tmp/tmp." and b"mktemp" in content)
    ]
    assert guilty == []


def test_the_program_runs_on_debians_python_from_where_it_was_unpacked(release: Path) -> None:
    assert (release / "bin/python3").readlink() == Path("/usr/bin/python3")
    done = run(release / "bin/python3", "-sP", "-m", "gateway", "--version")
    assert done.strip() == "dockline 1.2.3"


def test_every_module_is_compiled_and_none_is_looked_up_by_time(release: Path) -> None:
    """The service may not write below /opt; without these files each start would compile everything."""
    compiled = list(release.rglob("gateway/**/*.pyc"))
    assert len(compiled) == len(list(release.rglob("gateway/**/*.py")))
    assert {path.read_bytes()[4] for path in compiled} == {1}, "by hash, and not compared with the source (PEP 552)"


def test_what_the_system_needs_lies_where_it_looks(root: Path) -> None:
    for path in (
        "usr/lib/systemd/system/dockline.service", "usr/lib/sysusers.d/dockline.conf",
        "usr/lib/tmpfiles.d/dockline.conf", "usr/lib/udev/rules.d/60-dockline.rules",
        "usr/share/man/man1/dockline.1.gz",
        "usr/share/bash-completion/completions/dockline", "usr/share/zsh/vendor-completions/_dockline",
        "usr/share/fish/vendor_completions.d/dockline.fish", "usr/share/doc/dockline/copyright",
    ):  # fmt: skip
        assert (root / path).is_file(), path
    assert (root / "usr/bin/dockline").readlink() == Path("/opt/dockline/bin/dockline")
    started = re.search(
        r"^ExecStart=(\S+)", (root / "usr/lib/systemd/system/dockline.service").read_text(), re.MULTILINE
    )
    assert started is not None and (root / started[1].lstrip("/")).is_file()


def test_the_pages_come_along(root: Path) -> None:
    """A site PC may have no way to anywhere else when somebody has to read them."""
    shipped = root / "usr/share/doc/dockline"
    pages = {path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*") if path.is_file()}
    assert Path("docs/how-to/scanner-silent.md") in pages
    assert {page for page in pages if not (shipped / page).is_file()} == set()


def test_no_file_is_writable_by_others_and_only_programs_run(root: Path) -> None:
    modes = {path.relative_to(root).as_posix(): path.stat().st_mode & 0o7777 for path in files(root)}
    assert {name for name, mode in modes.items() if mode & 0o7022} == set()
    runs = {name for name, mode in modes.items() if mode & 0o111 and not name.endswith(".so")}
    assert runs == {"opt/dockline/bin/dockline", *(f"DEBIAN/{script}" for script in SCRIPTS)}
    assert modes["etc/dockline/gateway.toml"] == 0o640


def test_the_configuration_is_a_conffile_and_nothing_else_in_etc(root: Path) -> None:
    listed = (root / "DEBIAN/conffiles").read_text().split()
    assert listed == [f"/{path.relative_to(root).as_posix()}" for path in files(root / "etc")]


def test_the_configuration_it_leaves_is_valid_and_open_to_this_computer_alone(root: Path) -> None:
    from gateway.settings import load_settings

    settings = load_settings(root / "etc/dockline/gateway.toml", environ={})
    assert settings.api.bind.is_loopback and settings.mqtt.listener is None and settings.devices == ()
    assert any("not set up yet" in notice for notice in settings.notices)


def test_the_sums_cover_every_file_but_the_configuration(root: Path) -> None:
    lines = (root / "DEBIAN/md5sums").read_text().splitlines()
    listed = {line.split("  ", 1)[1] for line in lines}
    there = {path.relative_to(root).as_posix() for path in files(root)}
    assert listed == {name for name in there if not name.startswith(("DEBIAN/", "etc/"))}
    subprocess.run(["md5sum", "--check", "--quiet", "DEBIAN/md5sums"], cwd=root, check=True)


def test_the_scripts_know_version_and_schema(root: Path) -> None:
    schema = len(list((ROOT / "buffer/sql").glob("*.sql")))
    assert f"\nSCHEMA={schema}\n" in (root / "DEBIAN/preinst").read_text()
    assert "\nVERSION=1.2.3\n" in (root / "DEBIAN/postinst").read_text()
    for name in ("control", *SCRIPTS):
        assert re.findall(r"@[A-Z]+@", (root / "DEBIAN" / name).read_text()) == []


@pytest.mark.parametrize("script", [*SCRIPTS, *sorted(path.name for path in DEB.glob("*.sh"))])
def test_the_shell_has_nothing_to_say_against_the_scripts(root: Path, script: str) -> None:
    path = root / "DEBIAN" / script if script in SCRIPTS else DEB / script
    words = ["shellcheck", "--shell=sh", "--severity=info", "--exclude=SC1091,SC2094", path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def outbox(folder: Path, schema: int) -> Path:
    """Return a configuration whose outbox says that it has this schema."""
    folder.mkdir()
    (folder / "outbox.db").write_bytes(b"SQLite format 3\0" + bytes(44) + schema.to_bytes(4, "big") + bytes(36))
    config = folder / "gateway.toml"
    config.write_text(f'[site]\nid = "a"\n\n[storage]\npath = "{folder}"\n\n[api]\npath = "/nowhere"\n')
    return config


@pytest.mark.parametrize(("schema", "code"), [(1, 0), (900, 1), (70_000, 1)])
def test_a_package_that_is_older_than_the_outbox_is_refused_before_anything_is_unpacked(
    root: Path, tmp_path: Path, schema: int, code: int
) -> None:
    config = outbox(tmp_path / "state", schema)
    text = (root / "DEBIAN/preinst").read_text().replace("/etc/dockline/gateway.toml", str(config))
    script = tmp_path / "preinst"
    script.write_text(text.replace("BASE=/opt/dockline", f"BASE={tmp_path / 'base'}"))
    done = subprocess.run(["sh", script, "upgrade", "0.9"], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert ("a newer version wrote it" in done.stderr) == bool(code)


def test_the_release_that_runs_is_kept_before_another_is_unpacked(root: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "releases/1.0/bin").mkdir(parents=True)
    (base / "releases/1.0/bin/python3").write_text("the old one")
    (base / "current").symlink_to("releases/1.0")
    script = tmp_path / "preinst"
    script.write_text((root / "DEBIAN/preinst").read_text().replace("BASE=/opt/dockline", f"BASE={base}"))
    for _ in range(2):  # dpkg may begin again
        run("sh", script, "upgrade", "1.0")
        assert (base / "current").readlink() == Path("kept/1.0")
        assert (base / "current/bin/python3").read_text() == "the old one"


def test_an_installation_by_hand_is_not_run_over(root: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "pyvenv.cfg").write_text("home = /usr/bin\n")
    script = tmp_path / "preinst"
    script.write_text((root / "DEBIAN/preinst").read_text().replace("BASE=/opt/dockline", f"BASE={base}"))
    done = subprocess.run(["sh", script, "install"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "installed by hand" in done.stderr


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("way", ["forward", "back"])
def test_in_the_folder_of_the_outbox_root_does_nothing_by_itself(tmp_path: Path, way: str) -> None:
    """Whoever took over the service owns that folder; a link there must not lead root to other files."""
    base, folder, log, tools = (tmp_path / name for name in ("base", "state", "log", "tools"))
    config = outbox(folder, 1)
    for path in (base / "kept/1.0", base / "releases/2.0"):
        # Who runs it is written down. The outbox has schema 1, nothing came since the copy, and a copy is a file.
        program(
            path / "bin/python3",
            f'echo "${{AS:-root}} python3 $*" >> {log}\n'
            'case "$*" in *" backup "*) for copy; do :; done; touch "$copy" ;; esac\n'
            '[ "$2" != - ] || if [ $# = 4 ]; then echo 0; else echo 1 0; fi',
        )
    (base / "current").symlink_to("kept/1.0")
    for name in ("rm", "mv", "cp", "ln", "chown", "chmod"):
        program(tools / name, f'echo "${{AS:-root}} {name} $*" >> {log}\nexec /bin/{name} "$@"')
    program(
        tools / "setpriv",
        'while [ "${1#--}" != "$1" ]; do case $1 in --re*) shift ;; esac; shift; done; AS=dockline exec "$@"',
    )
    active = "activating" if way == "forward" else "active"
    program(
        tools / "systemctl",
        f"case $1 in is-active) echo {active} ;; --quiet) [ {way} = forward ] ;; show) echo 7 ;; esac",
    )
    program(tools / "dockline", 'echo "{\\"ready\\": true, \\"version\\": \\"2.0\\"}"')
    for name in ("deb-systemd-invoke", "journalctl", "sleep"):
        program(tools / name, "exit 0")
    library = (DEB / "switch.sh").read_text().replace("BASE=/opt/dockline", f"BASE={base}")
    library = library.replace("CONFIG=/etc/dockline/gateway.toml", f"CONFIG={config}").replace(
        "/run/systemd/system", str(base)
    )
    script = tmp_path / "switch.sh"
    script.write_text(f"set -e\nPATH={tools}:$PATH\n{library}\nswitch_to 2.0\n")
    (folder / "outbox.before-2.0").touch()
    done = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    assert done.returncode == (0 if way == "forward" else 1), done.stderr
    touched = [line for line in log.read_text().splitlines() if str(folder) in line and " check " not in line]
    expected = "dockline rm -f" if way == "forward" else "dockline mv -T"
    assert any(line.startswith(expected) and "outbox.before-2.0" in line for line in touched), log.read_text()
    assert [line for line in touched if not line.startswith("dockline ")] == []


@pytest.mark.long
@pytest.mark.install
def test_lintian_has_nothing_to_say_that_was_not_answered(tmp_path: Path) -> None:
    package = build(tmp_path, "1.2.3", xz="xz")
    words = ["lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", package]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.long
def test_two_builds_are_the_same_to_the_byte(tmp_path: Path) -> None:
    one, two = (build(tmp_path / name, "1.2.3", xz="xz").read_bytes() for name in ("one", "elsewhere"))
    assert one == two
