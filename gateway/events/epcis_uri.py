"""Identifiers as URIs, and back.

GS1 keys become GS1 Digital Link URIs on `id.gs1.org`, which EPCIS 2.0 allows everywhere: the older URN form would need
the length of the company prefix, which a label does not tell. An EPC from a tag keeps the URN the tag was decoded to.
What is no GS1 key (a site's own item number, document, device, shelf) becomes a name under `urn:dockline:`, with the
site in it, so that two sites' "DOCK-3" are two things. Every function here has its inverse beside it; what cannot be
inverted is kept in an extension field by `gateway.events.epcis`.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote, unquote

from gateway.events.check_digit import check_digit

DIGITAL_LINK: Final = "https://id.gs1.org/"
PRIVATE: Final = "urn:dockline:"
"""Names of a site's own things: `urn:dockline:<kind>:<site>:<name>`."""

_URI: Final = re.compile(r"(urn:[a-z0-9][a-z0-9-]*:|https?://|geo:)[!#-;=?-\[\]_a-z~]+", re.IGNORECASE)
_CLASS: Final = re.compile(r"https://id\.gs1\.org/01/([0-9]{14})(?:/10/([^/]+))?(?:/21/([^/]+))?")
_SSCC: Final = re.compile(r"https://id\.gs1\.org/00/([0-9]{18})")
_KEYS: Final = (
    re.compile(r"(8003)(0[0-9]{13})(?:([^()]{1,16}))?"),
    re.compile(r"(253)([0-9]{13})(?:([^()]{1,17}))?"),
    re.compile(r"(255)([0-9]{13})(?:([0-9]{1,12}))?"),
    re.compile(r"(8010)([^()]{1,30})(?:\(8011\)([0-9]{1,12}))?"),
    re.compile(r"(8004|401)()([^()]{1,30})"),
    re.compile(r"(8017|8018)()([0-9]{18})"),
    re.compile(r"(402)()([0-9]{17})"),
)
"""GS1 keys of objects that an item holds as `code`: AI, what names the class, and what makes it one thing (always there
where there is no class). In the code the AI stands in brackets. Text with brackets of its own could be read in two
ways and stays the site's."""
_KEY_LINK: Final = re.compile(r"https://id\.gs1\.org/([0-9]{3,4})/([^/]+)(?:/8011/([0-9]+))?")
_SGTIN: Final = re.compile(r"urn:epc:id:sgtin:([0-9]{6,12})\.([0-9])([0-9]*)\.(.+)")
_SSCC_URN: Final = re.compile(r"urn:epc:id:sscc:([0-9]{6,12})\.([0-9])([0-9]*)")


def is_uri(text: str) -> bool:
    """Return whether a text can stand where EPCIS wants a URI as it is."""
    return _URI.fullmatch(text) is not None


def escape(text: str) -> str:
    """Percent-encode a text so that it is one part of a URI. What UTF-8 cannot carry becomes "?"."""
    return quote(text, safe="", errors="replace")


def private(kind: str, site: str, *names: str) -> str:
    """Return the URI of a site's own thing."""
    return PRIVATE + ":".join((kind, escape(site), *(escape(name) for name in names)))


def private_parts(uri: str, kind: str) -> list[str] | None:
    """Return site and names of a `private` URI of this kind, else None."""
    head = f"{PRIVATE}{kind}:"
    return [unquote(part) for part in uri.removeprefix(head).split(":")] if uri.startswith(head) else None


def place_uri(kind: str, site: str, text: str) -> str:
    """Return the URI of a location or document: itself when it is one."""
    return text if is_uri(text) else private(kind, site, text)


def place_text(kind: str, uri: str) -> str:
    """Return what `place_uri` was given."""
    parts = private_parts(uri, kind)
    return parts[1] if parts is not None and len(parts) == 2 else uri


def instance_uri(item: dict[str, Any], site: str) -> str | None:
    """Return the URI of one thing (a tag, a logistic unit, a serial number), or None when only its class is known."""
    if item.get("epc"):
        return place_uri("epc", site, item["epc"])
    if item.get("gtin") and item.get("serial"):
        return f"{DIGITAL_LINK}01/{item['gtin']}/21/{escape(item['serial'])}"
    if item.get("sscc") and not item.get("gtin"):
        return f"{DIGITAL_LINK}00/{item['sscc']}"
    link, is_one = _key_link(item)
    return link if is_one else None


def class_uri(item: dict[str, Any], site: str) -> str | None:
    """Return the URI of a kind of thing, with its lot when it has a GTIN; None when nothing identifies it."""
    if item.get("gtin"):
        lot = f"/10/{escape(item['lot'])}" if item.get("lot") else ""
        return f"{DIGITAL_LINK}01/{item['gtin']}{lot}"
    link, _ = _key_link(item)
    if link is not None:
        return link
    for kind in ("sku", "code"):
        if item.get(kind):
            return private(kind, site, item[kind])
    return None


def is_one_thing(code: str) -> bool:
    """Return whether an item's `code` is a GS1 key that names one thing, as a GIAI or a serialised GRAI does."""
    return code.startswith("(") and _key_link({"code": code})[1]


def _key_link(item: dict[str, Any]) -> tuple[str | None, bool]:
    """Return the Digital Link of a GS1 key that the item has as `code`, and whether it names one thing.

    A serialised GRAI, GDTI, GCN or CPID, and every GIAI, GSRN, GINC and GSIN is one thing (CBV 2.0, section 8.2);
    without its serial number the first four name a class (section 8.3).
    """
    ai, closed, rest = str(item.get("code", "")).removeprefix("(").partition(")")
    if not closed or item.get("sku"):
        return None, False
    for key in _KEYS:
        if found := key.fullmatch(ai + rest):
            return _written(found[1], found[2], found[3] or ""), bool(found[3])
    return None, False


def _written(ai: str, kind: str, serial: str) -> str:
    if ai == "8010":
        return f"{DIGITAL_LINK}{ai}/{escape(kind)}" + (f"/8011/{serial}" if serial else "")
    return f"{DIGITAL_LINK}{ai}/{escape(kind + serial)}"


def sscc_uri(sscc: str) -> str:
    """Return the URI of a logistic unit."""
    return f"{DIGITAL_LINK}00/{sscc}"


def read_item(uri: str) -> dict[str, str]:
    """Return the members of an item that a URI tells."""
    if found := _CLASS.fullmatch(uri):
        gtin, lot, serial = found.groups()
        told = {"gtin": gtin, "lot": lot, "serial": serial}
        return {name: unquote(value) for name, value in told.items() if value is not None}
    if found := _SSCC.fullmatch(uri):
        return {"sscc": found[1]}
    if found := _KEY_LINK.fullmatch(uri):
        ai, value, serial = found.groups()
        return {"code": f"({ai}){unquote(value)}" + (f"(8011){serial}" if serial else "")}
    for kind in ("sku", "code"):
        parts = private_parts(uri, kind)
        if parts is not None and len(parts) == 2:
            return {kind: parts[1]}
    if found := _SGTIN.fullmatch(uri):
        prefix, indicator, reference, serial = found.groups()
        return {"epc": uri, "gtin": _checked(indicator + prefix + reference), "serial": unquote(serial)}
    if found := _SSCC_URN.fullmatch(uri):
        prefix, extension, reference = found.groups()
        return {"epc": uri, "sscc": _checked(extension + prefix + reference)}
    return {"epc": place_text("epc", uri)}


def _checked(digits: str) -> str:
    return digits + str(check_digit(digits))
