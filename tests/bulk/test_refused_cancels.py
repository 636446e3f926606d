"""Records to cancel that are refused: for what, and by which key they are known."""

from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import BasicAuth, JourneyManagerSettings, OcambaSettings, OmedaSettings, SessionManager

MANY: dict[str, tuple[Callable[[SessionManager], Any], str]] = {
    "track_id": (lambda manager: manager.omeda.deployments, "user_id"),
    "campaign_id": (lambda manager: manager.ocamba.campaigns, "reason"),
    "submit_key": (lambda manager: manager.journey_manager.transactions, "milestones"),
}


@pytest.mark.parametrize("name", [*MANY])
@pytest.mark.parametrize("no_text", [True, 5, ["x"]])
async def test_a_record_that_is_refused_has_its_id_as_its_key(name: str, no_text: object) -> None:
    """Whatever stands there in place of a text; and of two faults, that of the id is told."""
    manager = SessionManager(
        omeda=OmedaSettings(app_id="a", brand="FOO", user_id="u"),
        ocamba=OcambaSettings(token="t"),
        journey_manager=JourneyManagerSettings(base_url="https://jm.example.com", auth=BasicAuth("u", "p")),
    )
    of, field = MANY[name]
    records = [{name: "1000248", field: no_text}, {name: "1000248.0", field: no_text}]
    plan = await of(manager).cancel_many(records).plan()
    told: list[tuple[Any, Any]] = [(one.key, getattr(one.error, "field", None)) for one in plan.refused]
    assert told == [("1000248", field), ("1000248.0", name)]
