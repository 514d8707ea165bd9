"""What a scanner sees: a page of a PDF as a picture, and a picture as the scans of a reader that is not ours.

The reader looks for every bar code of a whole page at once, along lines some distance apart, and now and then misses
one that it reads alone. So each page is shown to it at two distances, as a hand would.
"""

from __future__ import annotations

import pypdfium2
import zxingcpp

DPIS = (150, 200)
"""An office printer does better; what reads here reads there."""
_SAME_ROW_MM = 8.0


def scans(document: bytes) -> list[tuple[str, str]]:
    """Return (AIM symbology identifier, text) of every Code 128 on every page, row by row from the left."""
    found: list[tuple[str, str]] = []
    for page in pypdfium2.PdfDocument(document):
        seen: list[tuple[float, float, str, str]] = []
        for dpi in DPIS:
            seen += [one for one in _read(page, dpi) if not any(_is_there(one, other) for other in seen)]
        rows: list[float] = []
        for middle, *_ in sorted(seen):
            if not rows or middle - rows[-1] > _SAME_ROW_MM:
                rows.append(middle)
        seen.sort(key=lambda one: (max(row for row in rows if row <= one[0]), one[1]))
        found += [(symbology, text) for *_, symbology, text in seen]
    return found


def _read(page: pypdfium2.PdfPage, dpi: int) -> list[tuple[float, float, str, str]]:
    bitmap = page.render(scale=dpi / 72, grayscale=True)
    pixels = bytes(bitmap.buffer)
    rows = [pixels[row * bitmap.stride :][: bitmap.width] for row in range(bitmap.height)]
    image = memoryview(b"".join(rows)).cast("B", shape=[bitmap.height, bitmap.width])
    read = zxingcpp.read_barcodes(
        image, formats=zxingcpp.BarcodeFormat.Code128, try_rotate=False, try_downscale=False, try_invert=False
    )
    mm = 25.4 / dpi
    return [
        (
            (one.position.top_left.y + one.position.bottom_left.y) / 2 * mm,
            one.position.top_left.x * mm,
            one.symbology_identifier,
            one.text,
        )
        for one in read
    ]


def _is_there(one: tuple[float, float, str, str], other: tuple[float, float, str, str]) -> bool:
    return one[3] == other[3] and abs(one[0] - other[0]) < _SAME_ROW_MM and abs(one[1] - other[1]) < _SAME_ROW_MM
