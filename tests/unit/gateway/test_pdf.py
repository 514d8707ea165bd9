"""The few parts of PDF that a sheet needs, opened by another program's library."""

import pypdfium2

from gateway.sheet.pdf import Page, pdf


def made() -> list[Page]:
    first, second = Page(210, 297), Page(100, 50)
    first.text(10, 20, 12, "plain (with) \\marks\\ and ä € é\n", bold=True)
    second.rectangle(10, 10, 20, 30)
    return [first, second]


def test_a_document_opens_and_its_pages_measure_what_they_should() -> None:
    document = pypdfium2.PdfDocument(pdf(made(), "A title (1)"))
    sizes = [tuple(round(side / 72 * 25.4) for side in page.get_size()) for page in document]
    assert sizes == [(210, 297), (100, 50)]
    assert document.get_metadata_dict()["Title"] == "A title (1)"


def test_text_is_text() -> None:
    text = pypdfium2.PdfDocument(pdf(made(), "t"))[0].get_textpage().get_text_range()
    assert text.strip() == "plain (with) \\marks\\ and ä ? é"


def test_a_rectangle_is_black_where_it_was_put() -> None:
    page = pypdfium2.PdfDocument(pdf(made(), "t"))[1]
    bitmap = page.render(scale=10 / 72 * 25.4 / 10, grayscale=True)  # one pixel a millimetre
    pixels = bytes(bitmap.buffer)

    def at(x_mm: int, y_mm: int) -> int:
        return pixels[(50 - 1 - y_mm) * bitmap.stride + x_mm]

    assert (at(15, 25), at(29, 39), at(11, 11)) == (0, 0, 0)
    assert (at(5, 25), at(35, 25), at(15, 45), at(15, 5)) == (255, 255, 255, 255)


def test_the_same_pages_make_the_same_bytes() -> None:
    assert pdf(made(), "t") == pdf(made(), "t")
