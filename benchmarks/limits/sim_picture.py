"""The picture: how many requests the server has counted in its present minute, under different clients."""

from collections.abc import Sequence

from benchmarks.limits.sim_run import Result

WIDTH, HEIGHT, LEFT, TOP, PANEL = 900, 120, 60, 30, 160
SECONDS, CALLS, SHOWN = 60.0, 150, 200.0


def draw(results: Sequence[Result]) -> str:
    """Draw one panel for each result, as SVG."""
    height = TOP + PANEL * len(results) + 20
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + LEFT + 20} {height}" '
            'font-family="sans-serif" font-size="13">'
        ),
        f'<rect width="{WIDTH + LEFT + 20}" height="{height}" fill="white"/>',
    ]
    for number, result in enumerate(results):
        parts += _panel(result, TOP + PANEL * number)
    return "\n".join([*parts, "</svg>", ""])


def _x(seconds: float) -> float:
    return round(LEFT + seconds / SHOWN * WIDTH, 1)


def _y(top: float, count: int) -> float:
    return round(top + HEIGHT - min(count, CALLS * 1.25) / (CALLS * 1.25) * HEIGHT, 1)


def _panel(result: Result, top: float) -> list[str]:
    refused = sum(not taken for _, taken in result.arrivals)
    parts = [
        (
            f'<text x="{LEFT}" y="{top - 6}"><tspan font-weight="bold">{result.run.policy}</tspan>: '
            f"{result.run.requests} requests, {refused} refused, the last taken at "
            f"{result.arrivals[-1][0]:.0f} s</text>"
        )
    ]
    edge = result.phase
    while edge < SHOWN:
        parts.append(f'<path d="M{_x(edge)} {top}v{HEIGHT}" stroke="#bbb"/>')
        parts.append(f'<text x="{_x(edge) + 3}" y="{top + HEIGHT + 14}" fill="#666">{edge:.0f} s</text>')
        edge += SECONDS
    limit = _y(top, CALLS)
    parts.append(f'<path d="M{LEFT} {limit}h{WIDTH}" stroke="#c80" stroke-dasharray="4 3"/>')
    parts.append(f'<text x="{LEFT - 6}" y="{limit + 4}" text-anchor="end" fill="#c80">150</text>')
    return parts + _counts(result, top)


def _counts(result: Result, top: float) -> list[str]:
    lines, dots = [f"M{LEFT} {_y(top, 0)}"], []
    window, count = -1.0, 0
    for moment, taken in result.arrivals:
        if moment > SHOWN:
            break
        number = (moment - result.phase) // SECONDS
        if number != window:
            window, count = number, 0
            lines.append(f"M{_x(moment)} {_y(top, 0)}")
        count += 1
        lines.append(f"L{_x(moment)} {_y(top, count)}")
        if not taken:
            dots.append(f'<circle cx="{_x(moment)}" cy="{_y(top, count)}" r="2" fill="#d22"/>')
    return [f'<path d="{" ".join(lines)}" fill="none" stroke="#26c" stroke-width="2"/>', *dots]
