"""How long a trip between client and sandbox takes."""

import math
from random import Random

import attrs
from attrs import validators


@attrs.frozen
class Latency:
    """One-way latency, in seconds: lognormal with this mean, and now and then a slow trip.

    Every request makes two trips: one before it arrives (and is counted), one before its response leaves.
    """

    mean: float = attrs.field(default=0.0, validator=validators.ge(0))
    spread: float = attrs.field(default=0.0, validator=validators.ge(0))
    """Sigma of the underlying normal distribution; 0 makes every trip equally long."""
    slow_share: float = attrs.field(default=0.0, validator=[validators.ge(0), validators.le(1)])
    """Share of the trips that take ``slow`` instead."""
    slow: float = attrs.field(default=0.5, validator=validators.ge(0))

    def trip(self, rng: Random) -> float:
        """Draw the seconds of one trip."""
        if self.slow_share and rng.random() < self.slow_share:
            return self.slow
        if not self.mean or not self.spread:
            return self.mean
        return rng.lognormvariate(math.log(self.mean) - self.spread**2 / 2, self.spread)


def latency_of(value: float | tuple[float, float] | Latency) -> Latency:
    """Return the latency given as seconds, as a pair of mean and spread, or as a Latency."""
    if isinstance(value, Latency):
        return value
    return Latency(*value) if isinstance(value, tuple) else Latency(value)
