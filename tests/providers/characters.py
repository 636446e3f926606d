"""Characters that nobody sees, as Unicode lists them; Python has no such list."""

from collections.abc import Iterator

# Default_Ignorable_Code_Point of DerivedCoreProperties.txt, Unicode 16.
_RANGES = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)

GAPS = "\u3164\uffa0\u2800\u00a0\u202f\u3000\u2028\u2029 \t\0\x7f\x85"
"""Those that look like a blank, or have no look of their own: two texts may stand on their two sides."""


def unseen() -> Iterator[str]:
    """Give every character that Unicode says is to be drawn as nothing."""
    return (chr(number) for first, last in _RANGES for number in range(first, last + 1))
