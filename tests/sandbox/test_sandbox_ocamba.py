"""Ocamba in the sandbox: campaigns and their errors."""

from typing import Any

import pytest

CAMPAIGNS = "/v1/hood/campaigns"


@pytest.mark.parametrize("status", ["running", "scheduled", "paused"])
async def test_a_cancel_is_a_204_with_a_json_type_and_no_body(api: Any, status: str) -> None:
    """The three states that can be canceled are, and the reason is kept."""
    api.sandbox.ocamba.seed_campaign("1000248", status)
    reply = await api.cancel_campaign("1000248")
    assert (reply.status, reply.headers["Content-Type"], reply.body) == (204, "application/json", b"")
    campaign = api.sandbox.ocamba.campaigns["1000248"]
    assert (campaign.status, campaign.cancels, campaign.reason) == ("canceled", 1, "a test")


@pytest.mark.parametrize("status", ["completed", "stopped", "cancelled", "Running", "", None, 5])
async def test_a_status_that_ocamba_does_not_document_is_refused(api: Any, status: Any) -> None:
    """A test that relies on one would prove nothing; the error names those there are."""
    ocamba = api.sandbox.ocamba
    for seed, what in ((ocamba.seed_campaign, "1"), (ocamba.seed_campaigns, ["1", "2"])):
        with pytest.raises(ValueError, match=r"running, scheduled, .* sent, canceled, not ") as caught:
            seed(what, status)
        assert repr(status) in str(caught.value)
    assert ocamba.campaigns == {}
    reply = await api.post("/_sandbox/seed", {"ocamba": {"campaigns": [{"id": "1", "status": status}]}})
    assert reply.status == 400
    assert "status must be one that Ocamba documents" in reply.json["error"]


@pytest.mark.parametrize("status", ["draft", "manual", "needs_decision", "sent", "canceled"])
async def test_other_states_are_a_plain_400(api: Any, status: str) -> None:
    """The refusal does not say which state it was, and nothing is applied."""
    api.sandbox.ocamba.seed_campaign("1", status)
    reply = await api.cancel_campaign("1")
    assert (reply.status, reply.json["code"], reply.json["title"]) == (400, 400, "Bad request.")
    assert reply.json.keys() == {"code", "title", "message", "trace_id"}
    campaign = api.sandbox.ocamba.campaigns["1"]
    assert (campaign.status, campaign.cancels, campaign.cancel_attempts) == (status, 0, 1)


async def test_an_unknown_campaign_is_404(api: Any) -> None:
    """In the same shape as a 400."""
    reply = await api.cancel_campaign("1")
    assert (reply.status, reply.json["title"]) == (404, "Not found.")


@pytest.mark.parametrize("body", [None, [], "x", {"reason": 5}, {"reason": "x", "why": "y"}])
async def test_the_body_must_be_an_object_that_is_known(api: Any, body: object) -> None:
    """Anything else is the documented 400."""
    api.sandbox.ocamba.seed_campaign("1")
    reply = await api.post(f"{CAMPAIGNS}/1/cancel", body)
    assert (reply.status, reply.json["message"]) == (400, "The request body is not valid.")
    assert api.sandbox.ocamba.campaigns["1"].status == "running"


async def test_a_reason_may_be_left_out(api: Any) -> None:
    """Whether it is required is not documented."""
    api.sandbox.ocamba.seed_campaign("1")
    assert (await api.post(f"{CAMPAIGNS}/1/cancel", {})).status == 204


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "sandbox-token"}])
async def test_a_wrong_token_is_401(api: Any, headers: dict[str, str]) -> None:
    """And has no effect."""
    api.sandbox.ocamba.seed_campaign("1")
    reply = await api.post(f"{CAMPAIGNS}/1/cancel", {}, headers=headers)
    assert (reply.status, reply.json["title"]) == (401, "Unauthorized.")
    assert api.sandbox.ocamba.campaigns["1"].status == "running"


async def test_rolling_the_key_kills_the_old_one_at_once(api: Any) -> None:
    """The next request with the old token is a 401."""
    api.sandbox.ocamba.seed_campaign("1")
    api.sandbox.ocamba.token = "rolled"
    assert (await api.cancel_campaign("1")).status == 401
    rolled = {"Authorization": "Bearer rolled"}
    assert (await api.post(f"{CAMPAIGNS}/1/cancel", {}, headers=rolled)).status == 204


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{CAMPAIGNS}/1/cancel", 405),
        ("POST", f"{CAMPAIGNS}/1", 405),
        ("POST", CAMPAIGNS, 405),
        ("POST", "/v1/hood/contacts/1/cancel", 404),
        ("GET", "/v1/hood", 404),
    ],
)
async def test_wrong_urls_and_methods_are_refused(api: Any, method: str, path: str, status: int) -> None:
    """A path that does not exist is 404, a method that does not fit 405."""
    assert (await api.call(method, path)).status == status


async def test_a_campaign_is_read_in_an_envelope(api: Any) -> None:
    """One item, its id a string."""
    api.sandbox.ocamba.seed_campaign("7", "paused", name="Spring")
    reply = await api.get(f"{CAMPAIGNS}/7")
    assert reply.json["total"] == 1
    assert reply.json["items"][0] | {"create_time": ""} == {
        "id": "7",
        "name": "Spring",
        "status": "paused",
        "create_time": "",
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?sort=id", ["1", "2", "3"]),
        ("?sort=-id", ["3", "2", "1"]),
        ("?page=2,2&sort=id", ["3"]),
        ("?page=3,2&sort=id", []),
        ("?status=in:running,paused&sort=id", ["1", "3"]),
        ("?status=sent", ["2"]),
        ("?q=fall", ["3"]),
        ("?sort=status,-id", ["3", "1", "2"]),
    ],
)
async def test_lists_page_sort_and_filter(api: Any, query: str, found: list[str]) -> None:
    """The options of the list narrow and order it."""
    for number, (status, name) in enumerate([("running", "Spring"), ("sent", "Summer"), ("paused", "Fall")], 1):
        api.sandbox.ocamba.seed_campaign(str(number), status, name=name)
    reply = await api.get(CAMPAIGNS + query)
    assert [one["id"] for one in reply.json["items"]] == found


async def test_lists_have_ten_items_unless_asked_otherwise(api: Any) -> None:
    """The total counts all of them."""
    api.sandbox.ocamba.seed_campaigns(str(number) for number in range(25))
    reply = await api.get(f"{CAMPAIGNS}?fields=id")
    assert (reply.json["total"], len(reply.json["items"])) == (25, 10)
    assert all(one.keys() == {"id"} for one in reply.json["items"])


@pytest.mark.parametrize("query", ["page=0,10", "page=1,1001", "page=x", "sort=price", "status=not:x", "limit=5"])
async def test_lists_refuse_options_they_do_not_know(api: Any, query: str) -> None:
    """A wrong option is a 400, never ignored."""
    assert (await api.get(f"{CAMPAIGNS}?{query}")).status == 400


@pytest.mark.parametrize(("mode", "trace_id"), [("empty", "{}"), ("off", None)])
async def test_trace_ids_may_be_empty_or_absent(api: Any, mode: str, trace_id: str | None) -> None:
    """Other APIs of the vendor have none, or the literal of an empty object."""
    api.sandbox.ocamba.trace_ids = mode
    assert (await api.cancel_campaign("1")).json.get("trace_id") == trace_id
