"""What the tests in a browser rest on: a page is heard, kept from the network, and looked at by axe-core."""

from pathlib import Path

import pytest

from tests.browser.browsing import DESK, PHONE, Scheme, Visits, barriers, expect, sideways

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width"><style>@media (prefers-color-scheme: dark) {{ h1 {{ color: red }} }}
</style><main><h1>A page</h1>{body}</main></html>"""


def _page(folder: Path, body: str = "") -> str:
    path = folder / "page.html"
    path.write_text(PAGE.format(body=body), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "dark"), (DESK, "light")])
def test_a_good_page_has_no_complaint_and_no_barrier(
    visits: Visits, tmp_path: Path, width: int, scheme: Scheme
) -> None:
    """It is shown as wide as asked for, in the colours asked for."""
    page = visits.open(_page(tmp_path), width=width, scheme=scheme)
    expect(page.get_by_role("heading")).to_have_css("color", "rgb(255, 0, 0)" if scheme == "dark" else "rgb(0, 0, 0)")
    assert page.viewport_size is not None
    assert page.viewport_size["width"] == width
    assert (barriers(page), sideways(page)) == ([], 0)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("<script>console.error('bad')</script>", "console: bad"),
        ("<script>throw new Error('thrown')</script>", "raised: thrown"),
        ("<script>fetch('http://192.0.2.1/').catch(() => 0)</script>", "asked for http://192.0.2.1/"),
        ("<img src='https://192.0.2.1/x.png' alt=''>", "asked for https://192.0.2.1/x.png"),
    ],
)
def test_what_goes_wrong_in_a_page_is_told(visits: Visits, tmp_path: Path, body: str, told: str) -> None:
    """Errors of the console, what is raised, and whatever it asks of the network."""
    page = visits.open(_page(tmp_path, body))
    expect(page.get_by_role("heading")).to_be_visible()
    assert told in visits.complaints
    visits.complaints.clear()


def test_what_keeps_people_out_is_found(visits: Visits, tmp_path: Path) -> None:
    """A picture without a text, and what is wider than a phone."""
    image = "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=' style='width: 500px'>"
    page = visits.open(_page(tmp_path, image), width=PHONE)
    assert [one.partition(":")[0] for one in barriers(page)] == ["image-alt"]
    assert sideways(page) > 0
