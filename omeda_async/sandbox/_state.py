"""What the sandbox keeps of deployments, transactions and opt-outs."""

import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import attrs

from omeda_async.sandbox._opt_out_rules import OptOut, opt_outs_in, pairs_in


@attrs.define
class SandboxTransaction:
    """A Journey Manager transaction as the sandbox keeps it."""

    submit_key: str
    form_status: str = "Saved"
    modified_at: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    """A query without a filter on the submit key leaves out what is older than 14 days."""
    accessible: bool = True
    """Whether the user may see it; what he may not see is not found."""
    reason: str | None = None
    milestones: list[str] = attrs.field(factory=list)
    cancels: int = 0
    """How often a cancel was applied to it; more than once never happens."""
    cancel_attempts: int = 0
    """How often a cancel for it was processed, applied or refused."""

    ATTRIBUTES: ClassVar = frozenset({"submitKey", "formStatus", "timeLastModified", "abandonmentReason"})

    def abandon(self, reason: str | None, milestones: str | None, now: datetime) -> None:
        """Apply a cancel."""
        self.form_status, self.reason, self.modified_at = "Abandoned", reason, now
        self.cancels += 1
        if milestones is not None:
            self.milestones.append(milestones)

    def view(self) -> dict[str, object]:
        """Return it as a query shows it."""
        return {
            "submitKey": self.submit_key,
            "formStatus": self.form_status,
            "timeLastModified": self.modified_at.isoformat(),
            "abandonmentReason": self.reason or "",
        }


@attrs.define
class SandboxDeployment:
    """An Omeda deployment as the sandbox keeps it."""

    track_id: str
    status: str
    fields: dict[str, Any]
    """What create, update or seeding set, under the provider's names: ``DeploymentName`` and so on."""
    authorized: set[str]
    """Users that may cancel and edit it, beside its owner and final approver."""
    sent_on: str | None = None
    """When it was sent, US Central."""
    created_in_portal: bool = False
    edited_in_portal: tuple[str, str] | None = None
    """Who edited it in the portal last, and when."""
    created_at: float = 0.0
    """On the loop's clock."""
    cancels: int = 0
    """How often a cancel was applied to it; more than once never happens."""
    cancel_attempts: int = 0
    """How often a cancel for it was processed, applied or refused."""
    updates: int = 0
    """How often an update was applied to it."""
    clonable: bool = True
    clones: int = 0
    """How often it was cloned."""

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.fields.get("DeploymentName", ""))

    @property
    def owner(self) -> str:
        """Return the user id of its owner."""
        return str(self.fields.get("OwnerUserId", ""))

    def may_edit(self, user_id: str) -> bool:
        """Whether a user may cancel and edit it."""
        return user_id in self.authorized or user_id in (self.owner, self.fields.get("FinalApproverUserId"))

    def view(self) -> dict[str, Any]:
        """Return it as look-up and search show it."""
        return {
            "TrackId": self.track_id,
            "Status": self.status,
            "SentDate": self.sent_on,
            "FinalApproverUserId": self.owner,
            **self.fields,
        }


@attrs.frozen
class OptOutSubmission:
    """An opt-out request that was applied as a whole."""

    submission_id: str
    arrived_at: float
    entries: int
    """Elements of its three lists."""
    opt_outs: int
    """Pairs of address and id."""
    packed: bytes = attrs.field(repr=False)


@attrs.define
class OptOuts:
    """Every opt-out that was applied, kept packed and unpacked when it is asked for."""

    submissions: list[OptOutSubmission] = attrs.field(factory=list)

    def apply(self, submission_id: str, arrived_at: float, body: bytes, data: dict[str, Any]) -> None:
        """Apply a whole request."""
        entries = sum(len(items) for items in data.values())
        packed = zlib.compress(body, 1)
        self.submissions.append(OptOutSubmission(submission_id, arrived_at, entries, pairs_in(data), packed))

    def __iter__(self) -> Iterator[OptOut]:
        """Return every opt-out, in the order of application, repeats included."""
        for submission in self.submissions:
            yield from opt_outs_in(zlib.decompress(submission.packed))

    def __len__(self) -> int:
        return sum(submission.opt_outs for submission in self.submissions)

    def counter(self) -> Counter[tuple[str, str, str | int | None]]:
        """Count the applications of every (level, e-mail address, id); the id of ``client`` is None."""
        return Counter((one.level, one.email_address, one.id) for one in self)

    def applied(self) -> set[tuple[str, str, str | int | None]]:
        """Return the set of every (level, e-mail address, id) that is opted out."""
        return {(one.level, one.email_address, one.id) for one in self}

    def clear(self) -> None:
        """Forget all."""
        self.submissions.clear()
