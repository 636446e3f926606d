"""How much of a campaign of random cases is run: all of it, unless ``SHORT_CAMPAIGNS`` is set in the environment."""

import os

SHORT = bool(os.environ.get("SHORT_CAMPAIGNS"))


def cases(number: int) -> int:
    """Return how many of so many random cases to try: all, or the first quarter in the short form."""
    return -(-number // 4) if SHORT else number
