"""The page in a real browser, before a real daemon with simulated devices: what people can see and do there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_process import command
from page_browser import BOUND_MS, Window, browser
from page_site import POISON, TOKENS, PageSite, page_site
from playwright.sync_api import Browser, Route, expect

GTINS = ("09521234543213", "09521234543220", "09521234543237")
ASN = {
    "id": "ASN-1001",
    "type": "asn",
    "lines": [
        {"line": "1", "item": {"gtin": GTINS[0]}, "quantity": "12"},
        {"line": "2", "item": {"gtin": GTINS[1]}, "quantity": "28"},
    ],
}
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
RTL = "abc\u202edcba\u202c\u2066x"
UNSEEN = "A\0B\u200bC\u202eD\ufe0fE"
UNSEEN_ONES = frozenset(UNSEEN) - set("ABCDE")
LONG = "LONG-" + "0123456789" * 690 + "-END"
VIEWS = ("now", "exceptions", "scans", "quarantine", "history", "devices", "devices/dock-3-scanner", "station/dock-3")
expect.set_options(timeout=BOUND_MS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageSite]:
    """A morning at dock 3: eight of forty, one that is on no line, a strange handheld, a fussy centre."""
    with page_site(tmp_path_factory.mktemp("site")) as made:
        assert made.ask("PUT", "/v1/expectations/ASN-1001", ASN, who="otto")[0] == 201
        made.scan("]C0ASN-1001")
        for number in range(7):
            made.scan(f"]C101{GTINS[number % 2]}21S{number}")
        made.scan(f"]C101{GTINS[2]}21S99")
        assert made.carry("hh-1", SCRIPT, activity="pick", document="PL-7") == "good"
        assert made.carry("hh-1", RTL, activity="pick", document="PL-7") == "good"
        assert made.carry("hh-1", LONG, activity="pick", document="PL-8") == "good"
        for number in (1, 2):
            assert made.carry("hh-2", f"{POISON} {number}", activity="pick", document="PL-9") == "good"
            made.until_quarantined(number)
        assert made.carry("zz-9", "HELLO", activity="pick") == "error"
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def window(site: PageSite, chromium: Browser, tmp_path: Path) -> Iterator[Window]:
    """A window whose browser has nothing to complain of when the test is over."""
    opened = Window(chromium, site.url, tmp_path)
    try:
        yield opened
        assert opened.complaints == []
    finally:
        opened.close()


def test_now_shows_every_station_device_and_upstream_and_follows(window: Window, site: PageSite) -> None:
    page = window.open("now")
    dock = page.get_by_role("article", name="dock-3")
    expect(dock).to_have_class(re.compile("attention"))
    expect(dock).to_contain_text("Look here")
    expect(dock).to_contain_text(f"{GTINS[2]} is not on ASN-1001")
    expect(dock).to_contain_text("8 of 40")
    expect(page.get_by_role("article", name="line-1")).to_contain_text("No scan yet")
    expect(page.locator(".upstreams")).to_contain_text("in quarantine")
    for device in ("dock-3-scanner", "hh-1", "mqtt-listener"):
        expect(page.locator(".devices li", has_text=device)).to_contain_text(re.compile("up|heard"))
    expect(page.locator(".figure", has_text="Queue depth").locator("dd")).to_contain_text("0")
    site.scan(f"]C101{GTINS[0]}21S100")
    expect(dock).to_contain_text("Stored")
    expect(dock).to_contain_text("9 of 40")
    window.shoot("now")


def test_an_operator_sees_from_afar_whether_it_counted(window: Window, site: PageSite) -> None:
    page = window.open("station/dock-3")
    screen = page.get_by_role("region", name="Station dock-3")
    for tone in ("Good", "Attention", "Error"):
        expect(screen.locator("footer")).to_contain_text(tone)
    tally = screen.locator(".tally strong")
    expect(tally).to_have_text(re.compile(r"^\d+ / 40$"))
    before = int(tally.inner_text().split()[0])
    site.scan(f"]C101{GTINS[1]}21S101")
    expect(screen).to_have_class("operator good")
    expect(screen.locator(".word")).to_have_text("Stored")
    expect(tally).to_have_text(f"{before + 1} / 40")
    assert screen.locator(".word").evaluate("node => parseFloat(getComputedStyle(node).fontSize)") > 120
    window.shoot("good")
    site.scan(f"]C101{GTINS[2]}21S102")
    expect(screen).to_have_class("operator attention")
    expect(screen.locator(".said")).to_contain_text("is not on ASN-1001")
    expect(page.locator("#assertive")).to_contain_text("is not on ASN-1001")
    assert window.probe("contrast") == []
    window.shoot("attention")


def test_a_typed_code_is_a_scan_with_a_name(window: Window, site: PageSite) -> None:
    """The scanner is broken and the truck waits."""
    page = window.open("station/dock-3")
    page.keyboard.type("MMM\n")  # a scanner that types like a keyboard
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("F2")
    dialog = page.get_by_role("dialog", name="Type a code for dock-3")
    dialog.get_by_label("Code").fill(GTINS[0])
    dialog.get_by_label("Quantity").fill("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Sign in")).to_contain_text("This needs the role “operator”.")
    window.sign_in(TOKENS["otto"][0])
    expect(dialog.get_by_role("status")).to_have_text(f"Stored: {GTINS[0]}")
    expect(dialog.get_by_label("Code")).to_be_focused()
    expect(page.locator(".operator .scanned").first).to_contain_text(GTINS[0])
    found = site.ask("GET", f"/v1/events?text={GTINS[0]}&device=dock-3-scanner&limit=1")[1]["events"][0]["event"][
        "data"
    ]
    assert found["evidence"] == {"raw": GTINS[0], "symbology": "]Z0"}
    assert (found["operator"], found["quantity"]["value"], found["document"]["id"]) == ("otto", "2", "ASN-1001")
    window.shoot("typed")
    dialog.get_by_label("Code").fill(GTINS[0][:-1] + "0")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("status")).to_contain_text("check digit")


def test_an_exception_is_acknowledged_and_resolved_by_somebody_who_may(window: Window) -> None:
    page = window.open("exceptions")
    case = page.get_by_role("listitem").filter(has_text=f"{GTINS[2]} is not on ASN-1001").first
    expect(case).to_contain_text("Owner procurement")
    case.get_by_role("button", name="Evidence").click()
    expect(page.get_by_role("dialog")).to_contain_text("Events that show it")
    page.keyboard.press("Escape")
    case.get_by_role("button", name="Acknowledge").click()
    asked = page.get_by_role("dialog", name="Acknowledge the exception")
    asked.get_by_label("What happens now?").fill("somebody calls the supplier")
    asked.get_by_role("button", name="Acknowledge").click()
    window.sign_in(TOKENS["vera"][0])
    expect(page.get_by_role("dialog", name="Sign in")).to_contain_text("vera has the role “viewer”")
    window.sign_in(TOKENS["otto"][0])
    expect(case).to_contain_text("acknowledged by otto")
    count = page.get_by_role("list", name="Exceptions").get_by_role("listitem").count()
    case.get_by_role("button", name="Resolve").click()
    asked = page.get_by_role("dialog", name="Resolve the exception")
    asked.get_by_label("What was decided?").fill("sent back")
    asked.get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("list", name="Exceptions").get_by_role("listitem")).to_have_count(count - 1)
    page.get_by_label("State").select_option("resolved")
    expect(page.get_by_role("listitem").filter(has_text="resolved by otto")).to_contain_text("sent back")
    window.shoot("exceptions")


def test_hostile_codes_are_text_to_their_last_character(window: Window) -> None:
    page = window.open("scans")
    rows = page.get_by_role("list", name="Scans, the newest first").get_by_role("listitem")
    expect(rows.filter(has_text="alert(1)").locator(".scanned")).to_have_text(SCRIPT)
    expect(rows.filter(has_text="abc").locator(".scanned")).to_have_text("abc⟨U+202E⟩dcba⟨U+202C⟩⟨U+2066⟩x")
    long = rows.filter(has_text="LONG-")
    expect(long).to_contain_text(f"… {len(LONG):,} characters")
    long.get_by_role("button", name="show").click()
    whole = page.get_by_label("The whole code")
    expect(whole).to_have_text(LONG)
    window.shoot("long")
    assert page.locator("main script, main img, dialog script, dialog img").count() == 0


@pytest.mark.parametrize(
    ("label", "text", "found"),
    [
        ("Code or text", "<script>alert", 1),
        ("Document", "PL-9", 2),
        ("Device", "hh-1", 3),
        ("Code or text", "nowhere", 0),
    ],
)
def test_scans_are_found_by_code_document_and_device(label: str, text: str, found: int, window: Window) -> None:
    page = window.open("scans")
    page.get_by_label(label).fill(text)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="event")).to_contain_text(f"{found} event")
    expect(page.get_by_role("list", name="Scans, the newest first").get_by_role("listitem")).to_have_count(found)


def test_quarantined_events_are_sent_again_or_let_go(window: Window, site: PageSite) -> None:
    page = window.open("quarantine")
    boxes = page.get_by_role("checkbox", name=re.compile("Sequence"))
    expect(boxes).to_have_count(2)
    boxes.first.check()
    page.get_by_role("button", name="Discard 1").click()
    asked = page.get_by_role("dialog", name="Discard 1 event for good")
    asked.get_by_label("Why?").fill("a test label")
    asked.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("dialog", name="Sign in")).to_contain_text("technician")
    window.sign_in(TOKENS["tina"][0])
    expect(boxes).to_have_count(1)
    site.centre.policy.poison = ()
    page.get_by_label("all", exact=True).check()
    page.get_by_role("button", name="Send 1 again").click()
    asked = page.get_by_role("dialog", name="Send 1 event again")
    asked.get_by_label("Why?").fill("the centre knows it now")
    asked.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("Nothing is in quarantine here.")).to_be_visible()
    window.shoot("quarantine")


def test_the_day_is_drawn_and_walked_through_by_keyboard(window: Window) -> None:
    page = window.open("history")
    plot = page.locator("figure", has_text="Throughput")
    expect(plot.locator("rect.mark")).not_to_have_count(0)
    expect(plot.locator(".now")).to_contain_text("scans")
    svg = plot.get_by_role("img")
    expect(svg).to_have_attribute("aria-label", re.compile(r"Throughput: \d+ scans now"))
    svg.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(plot.locator(".cursor")).to_have_count(1)
    page.keyboard.press("Home")
    expect(plot.locator(".now")).to_contain_text("not seen")
    window.shoot("history")


def test_a_knocking_device_shows_the_lines_that_would_admit_it(window: Window, site: PageSite) -> None:
    for number in range(1, 6):
        assert site.carry(f"zz-{number}", "HELLO", activity="pick") == "error"
    page = window.open("devices")
    knocks = page.get_by_role("article")
    expect(knocks).to_have_count(3)  # more would push the devices off the page
    expect(knocks.first).to_contain_text("zz-5")
    knocks.filter(has_text="zz-3").get_by_label("Station it belongs to").focus()
    for number in (6, 7):
        site.carry(f"zz-{number}", "HELLO", activity="pick")
    expect(knocks.first).to_contain_text("zz-7")
    expect(knocks).to_have_count(4)
    expect(knocks.filter(has_text="zz-3").get_by_label("Station it belongs to")).to_be_focused()
    page.get_by_role("button", name="Show all 8 that knock").click()
    expect(knocks).to_have_count(8)
    knock = knocks.filter(has_text="zz-9")
    knock.get_by_label("Station it belongs to").select_option("dock-3")
    lines = knock.locator("pre").inner_text()
    assert lines == '[[device]]\nid = "zz-9"\nstation = "dock-3"\ndriver = "handheld"\n'
    window.shoot("devices")
    page.get_by_role("link", name="dock-3-scanner").click()
    expect(page.get_by_role("heading", name="dock-3-scanner")).to_be_visible()
    expect(page.locator("main")).to_contain_text('url = "serial://')
    site.scan(f"]C101{GTINS[0]}21WATCHED")
    readings = page.get_by_role("list", name="Last readings, the newest first").get_by_role("listitem")
    expect(readings.first).to_contain_text("WATCHED")
    window.shoot("device")


def test_a_thousand_handhelds_stand_behind_what_is_in_trouble_and_are_found_by_name(window: Window) -> None:
    """Fifteen hundred handhelds that are well were seventy-six thousand pixels, drawn again every four seconds."""
    page = window.page

    def enlarge(route: Route) -> None:
        told = route.fetch().json()
        pattern = {**told["devices"][0], "readings": 1, "last_reading_age_s": 5.0, "state": "heard"}
        told["devices"] = [{**pattern, "id": f"hh-{number:04}"} for number in range(1500)]
        told["devices"].append({**pattern, "id": "dock-9-scanner", "station": "dock-9", "state": "down"})
        route.fulfill(json=told)

    page.route("**/v1/devices", enlarge)
    window.open("devices")
    devices = page.get_by_role("list", name="Devices").get_by_role("listitem")
    expect(devices).to_have_count(100)
    expect(devices.first).to_contain_text("dock-9-scanner")
    expect(page.get_by_text("and 1,401 more, 0 of them in trouble")).to_be_visible()
    page.get_by_label("Find").fill("hh-149")
    expect(devices).to_have_count(10)
    expect(devices.first).to_contain_text("hh-1490")
    page.get_by_label("Find").fill("DOCK-9")
    expect(devices).to_have_count(1)
    page.unroute_all()


def test_everything_is_reached_by_keyboard(window: Window) -> None:
    page = window.open("now")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.locator("nav a").first.focus()
    for name in ("Exceptions", "Scans"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name=name)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Scans")
    expect(page.get_by_role("main")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.querySelector('nav a')).outlineStyle") == "none"
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px", "the focus is seen"
    window.open("station/dock-3")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", level=1)).to_have_text("Now")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_has_contrast_names_and_landmarks(
    scheme: str, site: PageSite, chromium: Browser, tmp_path: Path
) -> None:
    window = Window(chromium, site.url, tmp_path, color_scheme=scheme)
    poor: dict[str, list[str]] = {}
    for view in VIEWS:
        page = window.open(view)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        expect(page.locator("main [role=status], main .result, main .facts").first).not_to_be_empty()
        poor[view] = [*window.probe("contrast"), *window.probe("nameless")]
        window.shoot(f"{scheme}-{view.replace('/', '-')}")
    assert {view: found for view, found in poor.items() if found} == {}
    lightness = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", lightness)[:3])) < 200) == (scheme == "dark")
    assert window.complaints == []
    window.close()


def test_every_view_fits_a_phone(site: PageSite, chromium: Browser, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
    window = Window(chromium, site.url, tmp_path, **phone)
    wider: dict[str, list[str]] = {}
    for view in VIEWS:
        page = window.open(view)
        expect(page.locator("main [role=status], main .result, main .facts").first).not_to_be_empty()
        wider[view] = window.probe("wider")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view
        window.shoot(f"phone-{view.replace('/', '-')}")
    assert {view: found for view, found in wider.items() if found} == {}
    assert window.complaints == []
    window.close()


def test_a_foreign_script_would_not_run(window: Window) -> None:
    """Shows that the policy bites, and that a violation would have been noticed by every test here."""
    page = window.open("now")
    refused = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; } catch (error) { return error.name; } }"
    )
    assert refused == "TypeError", "markup from text is refused altogether"
    foreign = (
        "const node = document.createElement('img'); node.src = 'http://127.0.0.1:9/'; document.body.append(node);"
    )
    with page.expect_console_message():
        page.evaluate(f"() => {{ {foreign} }}")
    assert any("img-src" in said for said in window.complaints)
    window.complaints.clear()


@pytest.mark.parametrize("prefix", ["]C0", ""])
def test_what_cannot_be_seen_is_named_on_the_page_and_in_the_terminal(
    prefix: str, window: Window, site: PageSite
) -> None:
    """Two labels look the same and are not: NUL, no width, the other direction, no ink. With a symbology identifier it
    is goods, without one it is taken for noise; both are shown."""
    heard = site.carry("hh-3", prefix + UNSEEN, activity="pick", document="PL-11")
    assert heard == ("good" if prefix else "attention")
    for view in ("scans", "devices/hh-3", "exceptions", "quarantine", "now"):
        page = window.open(view)
        if view in {"scans", "devices/hh-3"}:
            expect(page.locator("main .scanned").first).to_contain_text("A⟨NUL⟩B⟨U+200B⟩C⟨U+202E⟩D⟨U+FE0F⟩E")
        assert UNSEEN_ONES.isdisjoint(page.locator("body").inner_text()), view
    window.shoot(f"unseen-{prefix or 'none'}")
    config = str(site.folder / "gateway.toml")
    for words in (("events", "list"), ("events", "tail", "--after", "0", "--within", "1"), ("exceptions", "list"),
                  ("devices", "watch", "--within", "1"), ("events", "show", _newest(site))):  # fmt: skip
        done = command(*words, "--config", config)
        assert done.returncode == 0, done.stderr
        assert UNSEEN_ONES.isdisjoint(done.stdout + done.stderr), words
        if words[1] == "show" or (prefix and words[1] in {"list", "tail"} and words[0] == "events"):
            assert re.search(r"A\\(x00|u0000)B\\u200bC\\u202eD\\ufe0fE", done.stdout), (words, done.stdout)


def _newest(site: PageSite) -> str:
    """Return the sequence of the newest event that shows a code, and not what was thought of it."""
    found = site.ask("GET", "/v1/events?device=hh-3&limit=5")[1]["events"]
    return str(next(one["seq"] for one in found if "evidence" in one["event"]["data"]))


def test_a_page_comes_back_by_itself_after_a_restart(window: Window, site: PageSite) -> None:
    """An upgrade at night must not leave a dock with a dead screen in the morning."""
    page = window.open("station/dock-3")
    screen = page.get_by_role("region", name="Station dock-3")
    site.do(site.under_test.gateway.stop())
    expect(screen.locator(".word")).to_have_text("No connection")
    expect(screen).to_have_class("operator blind")
    window.shoot("blind")
    site.do(site.under_test.gateway.start())
    expect(screen.locator(".word")).to_have_text("Ready")
    site.scan(f"]C101{GTINS[1]}21AFTER")
    expect(screen.locator(".word")).to_have_text("Stored")
    window.complaints = [said for said in window.complaints if "ERR_" not in said]
