"""How to make the classes of which every call makes some.

To a type checker they are frozen. At run time they are not: freezing an object triples what making it costs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen as quick
else:
    from attrs import define as quick

__all__ = ["quick"]
