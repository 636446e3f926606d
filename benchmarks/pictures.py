"""Draw the three pictures of the README's first page from the tables below it, and write that page.

``python -m benchmarks.pictures``, after the tables were written: a picture shows the figures that stand there.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import _harness

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER: Final = Path(__file__).parent / "pictures"
_OURS, _OTHERS, _MORE = "#1f6f54", "#9aa5a0", "#7fb89f"
_NUMBER: Final = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
Rows = list[dict[str, str]]


def rows_of(section: str, first: str) -> Rows:
    """Return the rows of the table of a section whose first column has that head, by their columns."""
    lines = [line for line in _harness.read_section(section).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    starts = [place for place, row in enumerate(cells) if row[0] == first]
    if not starts:
        raise _harness.Failed(f"benchmarks/README.md has no table of {section} that begins with {first!r}")
    start = starts[0]
    found: Rows = []
    for row in cells[start + 2 :]:
        if len(row) != len(cells[start]) or set("".join(row)) <= set("-"):
            break
        found.append(dict(zip(cells[start], row, strict=True)))
    return found


def number(cell: str, place: int = 0) -> float:
    """Return a number that stands in a cell."""
    return float(_NUMBER.findall(cell)[place].replace(",", ""))


def _bars(axes: "Axes", bars: Mapping[str, float], unit: str, title: str) -> None:
    names = list(bars)
    colours = [_OURS if "omeda_async" in name else _OTHERS for name in names]
    drawn = axes.barh(names, list(bars.values()), color=colours)
    axes.bar_label(drawn, [f"{value:g}{unit}" for value in bars.values()], padding=4)
    axes.set_title(title, loc="left", fontsize=11)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.xaxis.set_visible(False)


def _refusals() -> tuple[dict[str, float], dict[str, float]]:
    """Return the 429s of 600 requests, and the time they took, by limiter: fixed windows, nobody else."""
    names = {"ours, with headers": "omeda_async"}
    table = [row for row in rows_of("limits", "server") if row["server"] == "fixed windows"]
    cells = {names.get(name := row["limiter"].strip("*"), name): row["N = 600"] for row in table}
    shown = {name: cell for name, cell in cells.items() if not name.startswith("ours")}
    return (
        {name: number(cell) for name, cell in shown.items()},
        {name: number(cell, 1) for name, cell in shown.items()},
    )


def _costs() -> Rows:
    return rows_of("speed-inputs", "input")


def _waits() -> dict[str, float]:
    """Return the waits at p99 of single calls beside bulk, 1 per 2 s."""
    names = {"as it is": "omeda_async", "`interactive_reserve=0`": "the same, interactive_reserve=0"}
    table = [row for row in rows_of("speed-budget", "limiter") if row["interactive calls"] == "1 per 2 s"]
    return {
        names.get(row["limiter"], row["limiter"]): number(row["p99"])
        for row in table
        if "headers" not in row["limiter"]
    }


def _draw(name: str, size: tuple[float, float], parts: Sequence[tuple[Mapping[str, float], str, str]]) -> None:
    figure = _figure(size)
    axes = figure.subplots(1, len(parts), squeeze=False)[0]
    for one, (bars, unit, title) in zip(axes, parts, strict=True):
        _bars(one, bars, unit, title)
    _save(figure, name)


def _draw_costs() -> None:
    table = _costs()
    figure = _figure((10, 3.8))
    axes = figure.subplots()
    series = (("bare script", _OTHERS), ("omeda_async", _OURS), ("with the journal", _MORE))
    for place, (column, colour) in enumerate(series):
        at = [row + (place - 1) * 0.27 for row in range(len(table))]
        drawn = axes.barh(at, [number(row[column]) for row in table], height=0.25, color=colour, label=column)
        axes.bar_label(drawn, [f"{number(row[column]):g} µs" for row in table], padding=3, fontsize=8)
    axes.set_yticks(range(len(table)), [row["input"] for row in table])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.xaxis.set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(series), frameon=False)
    axes.set_title("CPU of the client for one opt-out, 500 to a request", loc="left", fontsize=11)
    _save(figure, "cost")


def _figure(size: tuple[float, float]) -> Any:
    # Here, so that whoever measures only needs no matplotlib.
    from matplotlib import rcParams  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    rcParams["svg.hashsalt"] = "omeda-async"  # the same figures give the same file
    return Figure(figsize=size, layout="constrained", facecolor="white")


def _save(figure: Any, name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


def page() -> str:
    """Write the first page: what was compared, on what, and what came of it."""
    refused, took = _refusals()
    others = [value for name, value in refused.items() if name != "omeda_async"]
    worst = max(_costs(), key=lambda row: number(row["omeda_async"]))
    best = min(_costs(), key=lambda row: number(row["omeda_async"]))
    waits = _waits()
    return f"""## In one page

Three questions that a user asks. The pictures are drawn from the tables below, which say what was measured on what;
every table names the command that makes it anew.

**Is anything refused?** 600 cancels, as fast as each limiter allows, to a server with Ocamba's limits (10 per second
and 150 per minute, in fixed windows, on a simulated network). omeda_async was refused {refused["omeda_async"]:g} times
and took {took["omeda_async"]:g} times the least time there is. The limiters of other libraries were refused
{min(others):g} to {max(others):g} times: they count what leaves, and the provider counts what arrives.

![429s and time of 600 requests under each limiter](pictures/refusals.svg)

**What does a record cost?** 200,000 opt-outs in several forms, beside a bare script that only reads, serialises and
sends them, without checks, outcomes or a limiter. One takes {number(best["omeda_async"]):g} µs of CPU
({best["input"]}) to {number(worst["omeda_async"]):g} µs ({worst["input"]}), and at the default limits there are 200 µs
for each.

![CPU for one opt-out, by input](pictures/cost.svg)

**Does a user wait while a backfill runs?** Eight bulk runs want all of Ocamba's limits, and every two seconds somebody
cancels a single campaign. 99 of 100 of these calls wait {_seconds(waits["omeda_async"])}; without the room that
bulk leaves for them it would be {waits["the same, interactive_reserve=0"]:g} s.

![How long single calls wait beside bulk runs](pictures/waits.svg)"""


def _seconds(value: float) -> str:
    return f"{value:.2f} s at most" if value >= 0.01 else "less than 0.01 s"


def main() -> None:
    """Draw, and write."""
    refused, took = _refusals()
    _draw(
        "refusals",
        (10, 3),
        ((refused, "", "answered 429, of 600 requests"), (took, " x", "time, to the least there is")),
    )
    _draw_costs()
    _draw("waits", (10, 1.8), ((_waits(), " s", "the wait of single calls beside 8 bulk runs, p99"),))
    _harness.write_section("page", page())


if __name__ == "__main__":
    main()
