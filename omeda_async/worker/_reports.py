"""What deferring a run tells."""

import attrs

from omeda_async.outcomes import AsJson


@attrs.frozen(kw_only=True)
class Deferred(AsJson):
    """A run that has been read into its journal, and whose chunks have jobs."""

    run: str
    """Its name."""
    place: str
    """Its URL without the password: ``omeda-async status`` takes it."""
    records: int
    """Records that are sent, each once."""
    repeats: int
    """Records that ask for what an earlier one asks for, and share its outcome."""
    refused: int
    """Records that cannot be sent, those of earlier inputs included; the journal keeps the reasons."""
    chunks: int
    """Its chunks, those that are done included."""
    jobs: int
    """Jobs that were made by this call; those that were there already are not."""
    added: int = 0
    """Of ``records``, those that this call has added; the others an earlier one had."""
    absent: int = 0
    """Of ``records``, those that this input does not hold, but an earlier one did. They are sent all the same."""


@attrs.frozen(kw_only=True)
class Waiting(AsJson):
    """What waits in the queue."""

    jobs: int
    """Jobs of chunks that no worker performs now, of all runs."""
    seconds: float
    """Until the first of them may begin."""
