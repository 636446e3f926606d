"""Evidence for the tests of limits, made by hand."""

from omeda_async.limits._header_evidence import HeaderEvidence, Reading
from omeda_async.limits._headers import Advice


def reading(counted: int, at: float, known: int, *, limit: int = 40) -> Reading:
    """Make what a response says that came as soon as its attempt left, with no other in flight."""
    return Reading(counted, limit - counted, at, at, grants=known, in_flight=0, released=known, known=known)


def believed(seconds: float, first: float = 1.0, ends: float | None = None) -> HeaderEvidence:
    """Make the evidence of ten responses a second apart, which is enough to be trusted.

    Args:
        seconds: The length of the window.
        first: When the first of them came.
        ends: When the provider's window ends, as they all say to the hundredth of a second; None when they do not.
    """
    evidence, before = HeaderEvidence(seconds), None
    for count in range(1, 11):
        now = reading(count, first + count - 1, count - 1)
        evidence.learn(now, before, possible=1, known=count)
        if ends is not None:
            evidence.learn_reset(now, Advice(40, 40 - count, ends - now.sent, 0.01))
        before = now
    return evidence
