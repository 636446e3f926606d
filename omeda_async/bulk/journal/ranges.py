"""Numbers that follow on one another."""

from collections.abc import Sequence
from itertools import pairwise


def ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and the last of numbers that follow on one another."""
    numbers = sorted(numbers)
    if numbers[-1] - numbers[0] + 1 == len(numbers):
        return [(numbers[0], numbers[-1])]
    breaks = [place for place, (one, other) in enumerate(pairwise(numbers), 1) if other != one + 1]
    return [(numbers[begin], numbers[end - 1]) for begin, end in pairwise([0, *breaks, len(numbers)])]
