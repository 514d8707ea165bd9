"""As much of PDF 1.4 (ISO 32000-1) as a sheet of bar codes needs: filled rectangles and lines of text in Helvetica.

Lengths are millimetres from the lower left corner of the page. The two fonts are among the fourteen that every reader
has, so nothing is embedded; text is ISO 8859-1, what it cannot hold becomes "?". The same pages make the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

_POINTS_PER_MM: Final = 72 / 25.4
_FIRST_PAGE_OBJECT: Final = 5
"""Behind the catalogue, the tree of pages and the two fonts."""


class Page:
    """One page, drawn from an empty sheet."""

    def __init__(self, width_mm: float, height_mm: float) -> None:
        self.width_mm = width_mm
        self.height_mm = height_mm
        self._drawn: list[str] = []

    def rectangle(self, x: float, y: float, width: float, height: float) -> None:
        """Fill a rectangle with black; (x, y) is its lower left corner."""
        self._drawn.append(f"{_points(x)} {_points(y)} {_points(width)} {_points(height)} re f")

    def text(self, x: float, y: float, size_points: float, text: str, *, bold: bool = False) -> None:
        """Write a line; (x, y) is where its base line begins."""
        font = "/B" if bold else "/R"
        self._drawn.append(f"BT {font} {size_points:g} Tf {_points(x)} {_points(y)} Td ({_escaped(text)}) Tj ET")

    def content(self) -> bytes:
        """Return the page description."""
        return "\n".join(self._drawn).encode("latin-1", "replace")


def pdf(pages: Sequence[Page], title: str) -> bytes:
    """Return a document of these pages, at least one."""
    kids = " ".join(f"{_FIRST_PAGE_OBJECT + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        *(
            f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode()
            for name in ("Helvetica", "Helvetica-Bold")
        ),
    ]
    for number, page in enumerate(pages):
        box = f"[0 0 {_points(page.width_mm)} {_points(page.height_mm)}]"
        fonts = "/Resources << /Font << /R 3 0 R /B 4 0 R >> >>"
        contents = f"/Contents {_FIRST_PAGE_OBJECT + 2 * number + 1} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox {box} {fonts} {contents} >>".encode())
        packed = zlib.compress(page.content())
        objects.append(f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode() + packed + b"\nendstream")
    objects.append(f"<< /Title ({_escaped(title)}) /Producer (Dockline) >>".encode("latin-1", "replace"))
    return _file(objects)


def _file(objects: Sequence[bytes]) -> bytes:
    """Number the objects and put the table of their places behind them; the last one describes the document."""
    written = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, one in enumerate(objects, 1):
        places.append(len(written))
        written += f"{number} 0 obj\n".encode() + one + b"\nendobj\n"
    start = len(written)
    written += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    written += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>"
    written += f"trailer\n{trailer}\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(written)


def _points(mm: float) -> str:
    return f"{mm * _POINTS_PER_MM:.3f}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").replace("\n", " ").replace("\r", " ")
