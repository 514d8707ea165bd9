"""The GS1 Application Identifiers: how long their data is, what it is made of, and what company they keep.

Theory of operation. One line of `_TABLE` says everything about one identifier or a run of them (GS1 General
Specifications release 26, section 3; Digital Link URI Syntax 1.6 for keys and attributes):

    10          X..20    needs 01 02 03 8006 8026    attribute

A format is a row of components. `N6` is six digits, `X..20` one to twenty characters of set 82, `Y` of set 39, `Z` of
the URL-safe base64 alphabet; `[N4]` may be absent, but only from the end. Behind a colon stand the checks of
`gateway.capture.element_value` that the component has to pass.

fixed       the length is predefined: no separator stands behind it (section 7.8.5, by the first two digits)
needs       one of these has to be there, `+` means both. They may stand in another symbol of the same label, above all
            the SSCC; so a missing one is a remark, and only where a quantity depends on it a problem
never       none of these may be there; `n` stands for any digit, an identifier never excludes itself
key         begins a Digital Link, with its qualifiers in order; `|` separates alternatives
attribute   may stand in the query of a Digital Link
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

_TABLE: Final = """
00          N18:digit               key                          attribute fixed
01          N14:digit               never 255 37                 key 22 10 21 | 235   attribute fixed
02          N14:digit               never 01 03   needs 37       attribute fixed
03          N14:digit               never 01 02 37 235           fixed
10          X..20                   needs 01 02 03 8006 8026     attribute
11          N6:day0                 needs 01 02 03 8006 8026     attribute fixed
12          N6:day0                 needs 8020                   attribute fixed
13          N6:day0                 needs 01 02 03 8006 8026     attribute fixed
15-16       N6:day0                 needs 01 02 03 8006 8026     attribute fixed
17          N6:day0                 needs 01 02 03 255 8006 8026 attribute fixed
20          N2                      needs 01 02 03 8006 8026     attribute fixed
21          X..20                   needs 01 03 8006             never 235
22          X..20                   needs 01
235         X..28                   needs 01
240-241     X..30                   needs 01 02 03 8006 8026     attribute
242         N..6                    needs 01 02 8006 8026        attribute
243         X..20                   needs 01 03                  attribute
250         X..30                   needs 01+21 03+21 8006+21    attribute
251         X..30                   needs 01 03 8006             attribute
253         N13:digit,owner [X..17] key                          attribute
254         X..20                   needs 414
255         N13:digit,owner [N..12] never 01 02 415 8006 8020 8026  key   attribute
30          N..8                    needs 01 02                  attribute
310-316     N6                      needs 01 02                  attribute fixed decimals
320-329     N6                      needs 01 02                  attribute fixed decimals
330-336     N6                      needs 00 01                  attribute fixed decimals
337         N6                      needs 01                     attribute fixed decimals
340-349     N6                      needs 00 01                  attribute fixed decimals
350-352     N6                      needs 01 02                  attribute fixed decimals
353-355     N6                      needs 00 01                  attribute fixed decimals
356-357     N6                      needs 01 02                  attribute fixed decimals
360-361     N6                      needs 01 02                  attribute fixed decimals
362-363     N6                      needs 00 01                  attribute fixed decimals
364-366     N6                      needs 01 02                  attribute fixed decimals
367-369     N6                      needs 00 01                  attribute fixed decimals
37          N..8                    needs 00+02 00+8026          attribute
3900-3909   N..15                   needs 255 8020               never 390n 391n 394n 8111   attribute
3910-3919   N3:currency N..15       needs 8020                   never 391n                  attribute
3920-3929   N..15                   needs 01+30 01+31nn 01+32nn 01+35nn 01+36nn   never 392n 393n   attribute
3930-3939   N3:currency N..15       needs 30 31nn 32nn 35nn 36nn never 393n                  attribute
3940-3943   N4                      needs 255                    never 394n 8111             attribute
3950-3955   N6                      needs 30 31nn 32nn 35nn 36nn never 392n 393n 395n 8005   attribute
400         X..30                   attribute
401         X..30:owner             key                          attribute
402         N17:digit,owner         key                          attribute
403         X..30                   needs 00                     attribute
410-413     N13:digit,owner         attribute fixed
414         N13:digit,owner         key 254 | 7040               attribute fixed
415         N13:digit,owner         needs 8020                   key 8020   attribute fixed
416         N13:digit,owner         attribute fixed
417         N13:digit,owner         key 7040                     attribute fixed
420         X..20                   never 421                    attribute
421         N3:country X..9         never 4307                   attribute
422         N3:country              needs 01 02 03 8006 8026     never 426   attribute
423         N3:country [N3:country] [N3:country] [N3:country] [N3:country]   needs 01 02 03   never 426   attribute
424         N3:country              needs 01 02 03               never 426   attribute
425         N3:country [N3:country] [N3:country] [N3:country] [N3:country]   needs 01 02 03   never 426   attribute
426         N3:country              needs 01 02 03               attribute
427         X..3                    needs 01+422 02+422 03+422   attribute
4300-4301   X..35:percent           needs 00                     attribute
4302        X..70:percent           needs 00                     attribute
4303        X..70:percent           needs 4302                   attribute
4304-4306   X..70:percent           needs 00                     attribute
4307        X2:country_letters      needs 00                     attribute
4308        X..30                   needs 00                     attribute
4309        N10:latitude N10:longitude  needs 00                 attribute
4310-4311   X..35:percent           needs 00                     attribute
4312        X..70:percent           needs 00                     attribute
4313        X..70:percent           needs 4312                   attribute
4314-4316   X..70:percent           needs 00                     attribute
4317        X2:country_letters      needs 00                     attribute
4318        X..20                   needs 00                     attribute
4319        X..30                   needs 00                     attribute
4320        X..35:percent           needs 00                     attribute
4321-4323   N1:yes_no               needs 00                     attribute
4324-4325   N6:day0 N4:time         needs 00                     attribute
4326        N6:day                  needs 00                     attribute
4330        N6 [X1:minus]           needs 00                     never 4331   attribute
4331        N6 [X1:minus]           needs 00                     never 4330   attribute
4332        N6 [X1:minus]           needs 00                     never 4333   attribute
4333        N6 [X1:minus]           needs 00                     never 4332   attribute
7001        N13                     needs 01 02 8006 8026        attribute
7002        X..30                   needs 01 02                  attribute
7003        N6:day N4:time          needs 01 02 03               attribute
7004        N..4                    needs 01+10 03+10            attribute
7005        X..12                   needs 01 02                  attribute
7006        N6:day                  needs 01 02                  attribute
7007        N6:day [N6:day,days]    needs 01 02                  attribute
7008        X..3                    needs 01 02                  attribute
7009        X..10                   needs 01 02                  attribute
7010        X..2                    needs 01 02 03               attribute
7011        N6:day [N4:time]        needs 01 02 03               attribute
7020        X..20                   needs 01+416 03+416 8006+416 attribute
7021        X..20                   needs 01 03 8006             attribute
7022        X..20                   needs 01+7021 03+7021 8006+7021  attribute
7023        X..30:owner             attribute
7030-7039   N3:country_or_all X..27 needs 01 02                  attribute
7040        N1 X1 X1 X1:importer
7041        X..4:package            needs 00
710-717     X..20                   needs 01                     attribute
7230-7239   X2 X..28                needs 01 8004                attribute
7240        X..20                   needs 01 8006                never 03   attribute
7241        N2:medium               needs 8017 8018              attribute
7242        X..25                   needs 8017 8018              attribute
7250        N8:full_day             needs 8018                   never 7251 attribute
7251        N8:full_day N4:time     needs 8018                   never 7250 attribute
7252        N1:sex                  needs 8018                   attribute
7253-7254   X..40:percent           needs 8017 8018              never 7256 7259   attribute
7255        X..10                   needs 8017 8018              never 7256 7259   attribute
7256        X..90:percent           needs 8017 8018              attribute
7257        X..70:percent           needs 8018                   attribute
7258        X3:place_in_order       needs 8018+7259              attribute
7259        X..40:percent           needs 8018                   never 7256 attribute
8001        N4:some N5:some N3:some N1:winding N1  needs 01      attribute
8002        X..20                   attribute
8003        N1:zero N13:digit,owner [X..16]   key                attribute
8004        X..30:owner             key 7040                     attribute
8005        N6                      needs 01 02                  attribute
8006        N14:digit,some N4:piece never 01 03 37               key 22 10 21   attribute
8007        X..34:iban              needs 415                    attribute
8008        N6:day N2:hour [N2:minute] [N2:minute]   needs 01 02 03   attribute
8009        X..50                   needs 00 01 03               attribute
8010        Y..30:owner             key 8011                     attribute
8011        N..12:no_zero_first     needs 8010
8012        X..20                   needs 01 03 8006             attribute
8013        X..25:pair,owner        key                          attribute
8014        X..25:pair,owner,letter needs 01
8017        N18:digit,owner         never 8018                   key 8019   attribute
8018        N18:digit,owner         never 8017                   key 8019   attribute
8019        N..10                   needs 8017 8018
8020        X..25                   needs 415
8026        N14:digit,some N4:piece needs 37                     never 02 03 8006   attribute
8030        Z..90                   needs 00 01+21 03+21 253 255 8003 8004 8006+21 8010+8011 8017 8018   attribute
8040        N15                     needs 01+21
8041        N15                     needs 01+21+8040
8042        N32                     needs 01+21+8040
8043        N18 [N..2]              needs 01+21+8040
8110        X..70:coupon            attribute
8111        N4                      needs 255                    attribute
8112        X..70:paperless_coupon  attribute
8200        X..70                   needs 01
90          X..30                   attribute
91-99       X..90                   attribute
"""
_CHARACTERS: Final = {"N": "[0-9]", "X": "[^#]", "Y": "[#/0-9A-Z-]", "Z": "[A-Za-z0-9_=-]"}
"""What a component may hold, once the message is known to hold nothing but set 82, "#" and the separator."""
_COMPONENT: Final = re.compile(
    r"(?P<optional>\[)?(?P<type>[NXYZ])(?P<upto>\.\.)?(?P<length>[0-9]+)(?::(?P<checks>[a-z0-9_,]+))?\]?"
)
_DECIMALS_MAX: Final = 5
_OF_ALL: Final = ("days",)
"""Checks of all that stands before as well."""


class Check(NamedTuple):
    """What a part of the data has to pass."""

    name: str
    """Of the function in `gateway.capture.element_value`."""
    start: int
    end: int
    """Beyond the data when the component may be shorter."""


class Identifier(NamedTuple):
    """One Application Identifier."""

    ai: str
    shape: re.Pattern[str]
    """Of the whole data, set 82 being checked before."""
    length_min: int
    length_max: int
    is_fixed: bool
    """No separator stands behind it; its length is `length_max`."""
    is_numeric: bool
    checks: tuple[Check, ...]
    needs: tuple[frozenset[str], ...]
    never: tuple[str, ...]
    qualifiers: tuple[tuple[str, ...], ...] | None
    """For a Digital Link key, the qualifiers that may follow it, in order; a key without any has one empty row."""
    is_attribute: bool


def _read_table() -> Iterator[tuple[str, Identifier]]:
    for line in _TABLE.strip().splitlines():
        span, _, rest = line.partition(" ")
        words = rest.split()
        components: list[str] = []
        while words and _COMPONENT.fullmatch(words[0]):
            components.append(words.pop(0))
        lists: dict[str, list[str]] = {"needs": [], "never": [], "key": [], "": []}
        flags, into = set(), ""
        for word in words:
            if word in lists:
                into = word
                flags.add(word)
            elif word in ("attribute", "fixed", "decimals"):
                flags.add(word)
            else:
                lists[into].append(word)
        known = _identifier(components, lists, flags)
        for ai in _identifiers(span, has_decimals="decimals" in flags):
            never = (f"{ai[:3]}n",) if "decimals" in flags else known.never
            yield ai, known._replace(ai=ai, never=never)


def _identifiers(span: str, *, has_decimals: bool) -> Iterator[str]:
    first, _, last = span.partition("-")
    for number in range(int(first), int(last or first) + 1):
        ai = f"{number:0{len(first)}d}"
        if has_decimals:
            yield from (f"{ai}{decimals}" for decimals in range(_DECIMALS_MAX + 1))
        else:
            yield ai


def _identifier(components: list[str], lists: dict[str, list[str]], flags: set[str]) -> Identifier:
    shape, tail, checks, low, high = "", "", [], 0, 0
    for component in components:
        found = _COMPONENT.fullmatch(component)
        assert found is not None, component
        length = int(found["length"])
        low += 0 if found["optional"] else 1 if found["upto"] else length
        part = f"{_CHARACTERS[found['type']]}{{{'1,' if found['upto'] else ''}{length}}}"
        shape += f"(?:{part}" if found["optional"] else part
        tail += ")?" if found["optional"] else ""
        names = [name for name in (found["checks"] or "").split(",") if name]
        checks += [Check(name, 0 if name in _OF_ALL else high, high + length) for name in names]
        high += length
    rows = tuple(tuple(row.split()) for row in " ".join(lists["key"]).split("|"))
    return Identifier(
        "",
        _compiled(shape + tail),
        low,
        high,
        "fixed" in flags,
        all(component.lstrip("[").startswith("N") for component in components),
        tuple(checks),
        tuple(frozenset(one.split("+")) for one in lists["needs"]),
        tuple(lists["never"]),
        rows if "key" in flags else None,
        "attribute" in flags,
    )


@lru_cache(maxsize=128)
def _compiled(shape: str) -> re.Pattern[str]:
    return re.compile(shape)


IDENTIFIERS: Final[dict[str, Identifier]] = dict(_read_table())
"""By Application Identifier."""

DIGITS: Final[dict[str, int]] = {ai[:2]: len(ai) for ai in IDENTIFIERS}
"""How many digits an Application Identifier has, by its first two."""
