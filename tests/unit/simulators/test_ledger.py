"""The judge is judged: each kind of violation is planted once and must be named."""

import pytest

from simulators.ledger import CentreEvent, DeviceScan, Ledger, reconcile
from simulators.token import Token, find_tokens

SOURCE = "//dc07/dock/0a"


def event(
    number: int, *tokens: Token | str, id: str | None = None, source: str = SOURCE, flag: bool = False
) -> CentreEvent:
    body = f'{{"data":{{"raw":"{" ".join(map(str, tokens))}"{", " if flag else ""}'
    body += '"possible_redelivery": true}}' if flag else "}}"
    return CentreEvent(id=id or f"e{number}", source=source, sequence=number, body=body)


def scans(*numbers: int, tag: str = "hh1", **kwargs: bool) -> list[DeviceScan]:
    return [DeviceScan(Token(tag, n), **({"acknowledged": True} | kwargs)) for n in numbers]


def tokens(*numbers: int, tag: str = "hh1") -> list[Token]:
    return [Token(tag, n) for n in numbers]


def only(ledger: Ledger, kind: str) -> list[str]:
    """The violations of one kind, after checking that there are none of another."""
    others = {name for name, found in ledger.violations().items() if found} - {kind}
    assert not others
    return ledger.violations()[kind]


def test_a_good_day_holds_even_when_everything_is_delivered_three_times() -> None:
    events = [event(n, Token("hh1", n)) for n in (1, 2, 3)]
    ledger = reconcile(scans(1, 2, 3), [*events, *events, *events])
    assert ledger.holds
    assert (ledger.injected, ledger.acknowledged, ledger.delivered, ledger.redeliveries) == (3, 3, 3, 6)


def test_a_scan_acknowledged_and_not_delivered_is_lost() -> None:
    assert only(reconcile(scans(1, 2), [event(1, Token("hh1", 1))]), "lost") == [str(Token("hh1", 2))]


def test_a_scan_never_acknowledged_may_be_missing() -> None:
    assert reconcile(scans(1) + scans(2, acknowledged=False), [event(1, Token("hh1", 1))]).holds


def test_one_scan_in_two_events_is_a_duplicate() -> None:
    assert only(reconcile(scans(1), [event(1, Token("hh1", 1)), event(2, Token("hh1", 1))]), "duplicated")


def test_an_unnumbered_repeat_that_names_itself_is_counted_apart() -> None:
    events = [event(1, Token("s1", 1)), event(2, Token("s1", 1), flag=True)]
    ledger = reconcile(scans(1, tag="s1", numbered=False), events)
    assert ledger.holds
    assert len(ledger.repeats_named) == 1


def test_an_unnumbered_repeat_that_does_not_name_itself_is_a_duplicate() -> None:
    events = [event(1, Token("s1", 1)), event(2, Token("s1", 1))]
    assert only(reconcile(scans(1, tag="s1", numbered=False), events), "duplicated")


def test_a_numbered_device_gets_no_excuse_for_a_repeat() -> None:
    events = [event(1, Token("hh1", 1)), event(2, Token("hh1", 1), flag=True)]
    assert only(reconcile(scans(1), events), "duplicated")


def test_a_scan_nobody_made_is_invented() -> None:
    assert only(reconcile(scans(1), [event(1, Token("hh1", 1)), event(2, Token("hh9", 7))]), "invented")


def test_a_damaged_token_is_corruption() -> None:
    assert only(reconcile([], [event(1, "hh1.00001.00000000")]), "corrupted")


def test_two_scans_run_together_are_corruption() -> None:
    assert only(reconcile(scans(1, 2), [event(1, *tokens(1, 2))]), "corrupted")


def test_one_id_with_two_contents_is_a_conflict() -> None:
    events = [event(1, Token("hh1", 1)), event(1, Token("hh1", 1), flag=True)]
    assert only(reconcile(scans(1), events), "conflicting") == ["e1"]


def test_scans_of_one_device_in_another_order_are_reordered() -> None:
    events = [event(1, Token("hh1", 2)), event(2, Token("hh1", 1))]
    assert only(reconcile(scans(1, 2), events), "reordered")


def test_two_devices_may_interleave() -> None:
    events = [event(1, Token("hh2", 1)), event(2, Token("hh1", 1)), event(3, Token("hh2", 2))]
    assert reconcile(scans(1) + scans(1, 2, tag="hh2"), events).holds


def test_refused_and_delivered_is_a_zombie() -> None:
    ledger = reconcile(scans(1, acknowledged=False, refused=True), [event(1, Token("hh1", 1))])
    assert only(ledger, "zombies")


def test_a_hole_in_the_sequence_is_named() -> None:
    events = [event(1, Token("hh1", 1)), event(3, Token("hh1", 2))]
    assert only(reconcile(scans(1, 2), events), "out_of_sequence") == [f"{SOURCE} 2 never came"]


def test_a_number_after_a_higher_one_is_named() -> None:
    events = [event(2, Token("hh1", 1)), event(1, Token("hh2", 1))]
    assert only(reconcile(scans(1) + scans(1, tag="hh2"), events), "out_of_sequence")


@pytest.mark.parametrize("number", [0, 7, 99999, 999999])
def test_a_token_is_found_in_any_text_and_fits_a_gs1_serial(number: int) -> None:
    token = Token("hh12", number)
    assert find_tokens(f'{{"raw":"]C10109521234543213 21{token}"}}').whole == (token,)
    assert len(str(token)) <= 20


def test_a_source_that_begins_where_another_ended_has_no_hole_in_front() -> None:
    """An epoch that began in mid-flow goes on counting; one whose beginning nobody accounts for has lost it."""
    other = "//dc07/dock/0b"
    events = [event(n, Token("hh1", n)) for n in (1, 2)]
    assert reconcile(scans(1, 2, 3), [*events, event(3, Token("hh1", 3), source=other)]).holds
    late = reconcile(scans(1, 2, 5), [*events, event(5, Token("hh1", 5), source=other)])
    assert only(late, "out_of_sequence")[0] == f"{other} 1 never came"


def test_what_the_gateway_finds_out_itself_is_no_second_scan() -> None:
    """An exception names the serial number of the scan it is about."""
    finding = CentreEvent("x1", SOURCE, 2, f'{{"data":{{"item":"{Token("hh1", 1)}"}},"type":"dockline.exception.v1"}}')
    assert reconcile(scans(1), [event(1, Token("hh1", 1)), finding]).holds
    assert only(reconcile(scans(1), [event(1), finding]), "lost") == [str(Token("hh1", 1))]
