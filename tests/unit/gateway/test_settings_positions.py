"""Every key of a TOML document is found, at the line where it stands."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.positions import Path, Positions


def paths_of(value: Any, path: Path = ()) -> set[Path]:
    found = {path}
    if isinstance(value, dict):
        for key, item in value.items():
            found |= paths_of(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found |= paths_of(item, (*path, index))
    return found


DOCUMENT = '''# a comment with [brackets] and = signs
title = "x # no comment"   # one
[site]
id = 'dc07'
"quoted key" = 1
a.b.c = [1, 2, # three
  { x = 1, y = [ "]" ] },
]
[[device]]
id = "one"
text = """
[not.a.header]
key = 1 \\""" still """""
[[device]]
id = "two"
points = [{ name = "p" }, { name = "q", more = { deep = true } }]
[device.sub]
k = 1979-05-27 07:32:00
[[device.list]]
x = 1
[[device.list]]
x = 2
raw = \'\'\'
it's \\ raw'\'\'\'
'''


def test_every_path_of_a_crowded_document_is_found() -> None:
    assert Positions(DOCUMENT).paths() == paths_of(tomllib.loads(DOCUMENT))


def test_lines_are_where_a_person_would_look() -> None:
    positions = Positions(DOCUMENT)
    assert positions.line(("site", "id")) == 4
    assert positions.line(("site", "a", "b", "c", 2, "y")) == 7
    assert positions.line(("device", 0)) == 9
    assert positions.line(("device", 1, "id")) == 15
    assert positions.line(("device", 1, "points", 1, "more", "deep")) == 16
    assert positions.line(("device", 1, "list", 1, "x")) == 22


def test_what_does_not_stand_in_the_file_is_reported_at_its_table() -> None:
    positions = Positions(DOCUMENT)
    assert positions.line(("device", 1, "missing")) == 14
    assert positions.line(("nowhere", "at", "all")) == 1


def repr_basic(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


words = st.text("abcdefgh-_", min_size=1, max_size=6)
scalars = st.one_of(
    st.integers(-9, 999).map(str),
    st.sampled_from(["true", "1.5", "1979-05-27T07:32:00Z", "07:32:00"]),
    st.text("ab#[]{}=,'\\\" \n", max_size=8).map(repr_basic),
    st.text('ab#[]{}=,\\" ', max_size=8).map(lambda text: f"'{text}'"),
    st.text("ab#[]{}=,\n ", max_size=8).map(lambda text: f'"""{text}"""'),
)


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + " ,\n # c ]\n".join(items) + "]"),
        st.dictionaries(words, inner, max_size=3).map(
            lambda table: "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
        ),
    ),
    max_leaves=6,
)
tables = st.dictionaries(words, values, max_size=4).map(
    lambda table: "".join(f"{key} = {value}  # note\n" for key, value in table.items())
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    text = draw(tables)
    for name in draw(st.lists(st.sampled_from(["A", "B", "C"]), max_size=4)):
        text += f"[[{name}]]\n" + draw(tables)
        if draw(st.booleans()):
            text += f"[{name}.sub]\n" + draw(tables)
    return text


@given(documents())
def test_the_scanner_agrees_with_the_parser_on_any_document(text: str) -> None:
    assert Positions(text).paths() == paths_of(tomllib.loads(text))
