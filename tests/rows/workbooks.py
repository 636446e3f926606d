"""Workbooks made by hand, so that a test says what stands in their XML."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

SPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STYLES = (
    f'<styleSheet {SPACE}><numFmts count="2"><numFmt numFmtId="164" formatCode="00000"/>'
    '<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd"/></numFmts><cellXfs count="4"><xf numFmtId="0"/>'
    '<xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="11"/></cellXfs></styleSheet>'
)
PADDED, DATE, SCIENTIFIC = 1, 2, 3
"""Styles of numbers: 00123, a date, 1.00E+05."""

HIDDEN = ' state="hidden"'

Cell = str | int | float | None


def letters(column: int) -> str:
    """Return the name of a column, counted from 0."""
    return (letters(column // 26 - 1) if column >= 26 else "") + chr(65 + column % 26)


def xml_of(rows: Sequence[Sequence[Cell]], first: int = 1) -> str:
    """Return the rows as XML: a text as such, a number as such, and what begins with ``<`` as the cell's own XML."""
    lines = []
    for number, row in enumerate(rows, first):
        cells = "".join(_cell(f"{letters(column)}{number}", value) for column, value in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    return "".join(lines)


def _cell(place: str, value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith("<"):
        return value.replace("<c", f'<c r="{place}"', 1)
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    return f'<c r="{place}"><v>{value!r}</v></c>'


def number(value: float, style: int) -> str:
    """Return the XML of a number in a style."""
    return f'<c s="{style}"><v>{value}</v></c>'


def workbook(
    rows: Sequence[Sequence[Cell]] | str,
    others: Mapping[str, Sequence[Sequence[Cell]]] | None = None,
    hidden: Sequence[str] = (),
    merged: Sequence[str] = (),
) -> bytes:
    """Make a workbook with a sheet "People" of such rows, or of such XML, with merged cells, and with other sheets."""
    sheets = {"People": rows} | dict(others or {})
    listed = "".join(
        f'<sheet name="{title}" sheetId="{place}" r:id="rId{place}"{HIDDEN if title in hidden else ""}/>'
        for place, title in enumerate(sheets, 1)
    )
    related = "".join(
        f'<Relationship Id="rId{place}" Type="{RELATIONS}/worksheet" Target="worksheets/sheet{place}.xml"/>'
        for place in range(1, len(sheets) + 1)
    )
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="rId1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
        ),
        "xl/workbook.xml": f'<workbook {SPACE} xmlns:r="{RELATIONS}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'{related}<Relationship Id="rId99" Type="{RELATIONS}/styles" Target="styles.xml"/></Relationships>'
        ),
        "xl/styles.xml": STYLES,
    }
    for place, content in enumerate(sheets.values(), 1):
        data = content if isinstance(content, str) else xml_of(content)
        ranges = "".join(f'<mergeCell ref="{one}"/>' for one in merged) if place == 1 else ""
        ends = f"<mergeCells>{ranges}</mergeCells>" if ranges else ""
        sheet = f"<worksheet {SPACE}><sheetData>{data}</sheetData>{ends}</worksheet>"
        parts[f"xl/worksheets/sheet{place}.xml"] = sheet
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return stream.getvalue()
