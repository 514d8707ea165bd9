"""Rules and routes: what is near enough, whose it is, and by when."""

from decimal import Decimal

import pytest

from gateway.checks.routing import Router, RoutingRule
from gateway.checks.rule import CODES, Deviation, LocationRule, Rule, RuleBook, Subject, Tolerance


def deviation(expected: int, observed: int, price: str | None = None) -> Deviation:
    return Deviation(Decimal(expected), Decimal(observed), None if price is None else Decimal(price))


@pytest.mark.parametrize(
    ("tolerance", "found", "allowed"),
    [
        (Tolerance(), deviation(10, 10), True),
        (Tolerance(), deviation(10, 9), False),
        (Tolerance(absolute=Decimal(2)), deviation(10, 8), True),
        (Tolerance(absolute=Decimal(2)), deviation(10, 7), False),
        (Tolerance(percent=Decimal(8)), deviation(250, 230), True),
        (Tolerance(percent=Decimal("7.99")), deviation(250, 230), False),
        (Tolerance(percent=Decimal(50)), deviation(0, 1), False),
        (Tolerance(value=Decimal(20)), deviation(10, 8, "10"), True),
        (Tolerance(value=Decimal(20)), deviation(10, 7, "10"), False),
        (Tolerance(value=Decimal(20)), deviation(10, 9), False),
        (Tolerance(absolute=Decimal(2), value=Decimal(20)), deviation(10, 9), True),
        (Tolerance(absolute=Decimal(5), percent=Decimal(10)), deviation(10, 8), False),
        (Tolerance(absolute=Decimal(1), percent=Decimal(50)), deviation(10, 8), False),
    ],
)
def test_every_tolerance_that_is_stated_has_to_hold(tolerance: Tolerance, found: Deviation, allowed: bool) -> None:
    assert tolerance.allows(found) is allowed


def test_the_most_particular_rule_counts() -> None:
    rules = [
        Rule("all", 1, "a", "receiving_variance"),
        Rule("asn", 1, "a", "receiving_variance", document_types=("asn",)),
        Rule("supplier", 1, "a", "receiving_variance", suppliers=("40*",)),
        Rule("item", 1, "a", "receiving_variance", items=("0952*",)),
        Rule("other", 1, "a", "expired", items=("*",)),
    ]
    book = RuleBook(rules)

    def found(**subject: object) -> str:
        rule = book.rule("receiving_variance", Subject(**subject))  # type: ignore[arg-type]
        return rule.id if rule is not None else ""

    assert found(names=("0952123",), supplier="4012", document_type="asn") == "item"
    assert found(names=("1",), supplier="4012", document_type="asn") == "supplier"
    assert found(names=("1",), supplier="5", document_type="asn") == "asn"
    assert found(names=("1",), document_type="purchase_order") == "all"


def test_a_rule_that_is_switched_off_switches_the_check_off_where_it_applies() -> None:
    book = RuleBook([Rule("off", 1, "a", "expired", items=("X",), enabled=False)])
    assert book.rule("expired", Subject(names=("X",))) is None
    built_in = book.rule("expired", Subject(names=("Y",)))
    assert built_in is not None
    assert (built_in.id, built_in.version, built_in.author) == ("expired", 1, "dockline")


def test_a_rule_is_another_one_when_anything_in_it_is() -> None:
    one = Rule("a", 1, "jane", "expired")
    assert one.digest == Rule("a", 1, "jane", "expired").digest
    assert one.digest != Rule("a", 1, "jane", "expired", shelf_life_days_min=1).digest


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_an_owner_a_grade_and_a_time(code: str) -> None:
    assigned = Router().assign(code)  # type: ignore[arg-type]
    assert assigned.owner
    assert assigned.due_s
    assert assigned.escalate_to


def test_routes_go_by_code_variance_and_value() -> None:
    router = Router(
        [
            RoutingRule(codes=("receiving_variance",), value_min=Decimal(1000), owner="finance", due_s=60),
            RoutingRule(codes=("receiving_variance",), variance_percent_min=Decimal(5), severity="critical"),
            RoutingRule(codes=("receiving_variance",), direction="over", owner="dock", invoice_relevant=False),
            RoutingRule(suppliers=("S",), escalate_to="board"),
        ]
    )

    def route(found: Deviation, **more: str) -> tuple[object, ...]:
        one = router.assign("receiving_variance", deviation=found, **more)  # type: ignore[arg-type]
        return one.owner, one.severity, one.due_s, one.invoice_relevant, one.escalate_to

    assert route(deviation(100, 0, "10")) == ("finance", "major", 60, True, "supervisor")
    assert route(deviation(250, 230, "1")) == ("procurement", "critical", 86_400, True, "supervisor")
    assert route(deviation(250, 251)) == ("dock", "major", 86_400, False, "supervisor")
    assert route(deviation(250, 249)) == ("procurement", "major", 86_400, True, "supervisor")
    assert route(deviation(250, 249), supplier="S") == ("procurement", "major", 86_400, True, "board")
    assert router.assign("expired").owner == "quality", "a route about variances is none for what has none"


@pytest.mark.parametrize(
    ("rule", "location", "name", "forbidden"),
    [
        (LocationRule("r", 1, "a", ("C-*",), forbid=True), "C-01", "X", True),
        (LocationRule("r", 1, "a", ("C-*",), forbid=True), "D-01", "X", False),
        (LocationRule("r", 1, "a", ("C-*",), forbid_items=("X*",)), "C-01", "X1", True),
        (LocationRule("r", 1, "a", ("C-*",), forbid_items=("X*",)), "C-01", "Y1", False),
        (LocationRule("r", 1, "a", ("C-*",), allow_items=("X*",)), "C-01", "Y1", True),
        (LocationRule("r", 1, "a", ("C-*",), allow_items=("X*",)), "C-01", "X1", False),
    ],
)
def test_what_may_be_put_where(rule: LocationRule, location: str, name: str, forbidden: bool) -> None:
    assert rule.forbids("putaway", location, (name,)) is forbidden
    assert not rule.forbids("pick", location, (name,))
