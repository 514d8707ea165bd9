"""The house is clean: sizes, sleeps, broad excepts, names, and what lies where."""

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "drivers", "buffer", "sync", "simulators")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
SLEEPERS = {"sync/pump.py", "gateway/supervisor.py", "drivers/modbus_poller.py"}
"""The only places that wait for time to pass; each does so through a `sleep` it was given."""
CATCH_ALLS = {"gateway/supervisor.py", "gateway/__main__.py", "gateway/cli/errors.py"}
"""Where any exception may be caught: a driver must not end the daemon, an operator sees no traceback."""


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(params=sources(), ids=name)
def source(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code: the docstring is not held against a function."""
    assert node.end_lineno is not None
    first = node.body[0]
    is_doc = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    doc = (first.end_lineno or 0) - first.lineno + 1 if is_doc else 0
    return node.end_lineno - node.lineno + 1 - doc


def test_a_file_fits_on_a_few_screens(source: Path) -> None:
    assert len(source.read_text().splitlines()) <= FILE_LINES_MAX


def test_a_function_fits_on_one_screen(source: Path) -> None:
    long = {node.name: lines_of(node) for node in functions(ast.parse(source.read_text()))}
    assert {function: lines for function, lines in long.items() if lines > FUNCTION_LINES_MAX} == {}


def test_a_module_says_what_it_is_for(source: Path) -> None:
    text = source.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_nobody_sleeps_to_recover(source: Path) -> None:
    if source.parts[-2] == "simulators" or name(source) in SLEEPERS:
        return
    assert re.findall(r"(?:time|asyncio)\.sleep\(", source.read_text()) == []


def test_nobody_swallows_everything(source: Path) -> None:
    broad = [
        node.lineno
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert name(source) in CATCH_ALLS or broad == []


def test_no_work_is_left_marked_in_the_code() -> None:
    marker = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|NotImplemented" r"Error)\b")
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert [name(path) for path in sources() + tests if marker.search(path.read_text())] == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marker = re.compile(r"pytest\.(?:sk" r"ip|xf" r"ail|importor" r"skip)|mark\.(?:sk" r"ip|xf" r"ail)")
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert [name(path) for path in tests if marker.search(path.read_text())] == []


def test_folders_that_must_not_be_packages_are_none() -> None:
    folders = [ROOT / "config", ROOT / "tests", *(path for path in (ROOT / "tests").rglob("*") if path.is_dir())]
    assert [name(folder) for folder in folders if (folder / "__init__.py").exists()] == []


def test_our_package_names_belong_to_us_alone() -> None:
    owners = importlib.metadata.packages_distributions()
    assert {package: owners.get(package, ["dockline"]) for package in PACKAGES} == {
        package: ["dockline"] for package in PACKAGES
    }


def test_no_lock_file_names_an_address() -> None:
    for lock in ("requirements.lock", "requirements-test.lock"):
        text = (ROOT / lock).read_text()
        assert "://" not in text
        assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", text.strip()))
