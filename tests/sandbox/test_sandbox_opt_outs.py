"""The opt-out queue in the sandbox: all or nothing, and who is named."""

from typing import Any

import pytest

OPT_OUT = "/webservices/rest/client/foo_client/optoutfilterqueue/*"
SUMMARY = "There were errors with your submission.  None of the OptOuts submitted in your request were created."
EXAMPLE: dict[str, Any] = {
    "ClientOptOut": [
        {"EmailAddress": "test4@omeda.com"},
        {"EmailAddress": "test5@omeda.com", "Source": "Company FGH"},
    ],
    "BrandOptOut": [
        {
            "EmailAddress": "test@omeda.com",
            "BrandId": ["XXG", "XXH", "XXL", "XXM"],
            "Source": "Company STU",
        },
        {"EmailAddress": "test2@omeda.com", "BrandId": ["XXH", "XXL"]},
    ],
    "DeploymentTypeOptOut": [
        {"EmailAddress": "test66@omeda.com", "DeploymentTypeId": [4194, 4804]},
        {"EmailAddress": "test77@omeda.com", "DeploymentTypeId": [4807], "Source": "Company WPO"},
    ],
}


def _brand(email: str, *ids: str) -> dict[str, Any]:
    return {"EmailAddress": email, "BrandId": list(ids)}


async def test_the_documented_example_is_applied_as_a_whole(api: Any) -> None:
    """All three levels go in one request, and every pair of address and id is opted out."""
    reply = await api.post(OPT_OUT, EXAMPLE)
    assert reply.status == 200
    assert reply.json.keys() == {"SubmissionId", "Success"}
    assert reply.json["Success"] == "Your submission was successful"
    opt_outs = api.sandbox.omeda.opt_outs
    assert len(opt_outs) == 11
    assert ("client", "test4@omeda.com", None) in opt_outs.applied()
    assert opt_outs.counter()["deployment_type", "test77@omeda.com", 4807] == 1
    assert [one.source for one in opt_outs][:2] == ["Optout API 2", "Company FGH"]
    (submission,) = opt_outs.submissions
    assert (submission.submission_id, submission.entries) == (reply.json["SubmissionId"], 6)


async def test_unauthorised_brands_are_named_and_nothing_is_applied(api: Any) -> None:
    """The texts are those of the document, the id key is Submission, the good entries are lost too."""
    api.sandbox.omeda.brands = {"XXP"}
    body = {"BrandOptOut": [_brand("test@omeda.com", "XXG", "XXH"), _brand("good@omeda.com", "XXP")]}
    reply = await api.post(OPT_OUT, body)
    text = (
        "BrandOptOut submission ({}): the BrandId is not authorized for OptOuts for the AppId submitted. "
        "Email address test@omeda.com was not opted out."
    )
    assert reply.status == 400
    assert reply.json.keys() == {"Submission", "Errors"}
    assert reply.errors == [text.format("XXG"), text.format("XXH"), SUMMARY]
    assert not list(api.sandbox.omeda.opt_outs)


async def test_unauthorised_deployment_types_are_named(api: Any) -> None:
    """The text of the third level names id and address."""
    api.sandbox.omeda.deployment_types = [4804]
    body = {"DeploymentTypeOptOut": [{"EmailAddress": "t@omeda.com", "DeploymentTypeId": ["4194", 4804]}]}
    assert (await api.post(OPT_OUT, body)).errors == [
        (
            "DeploymentTypeOptOut submission (4194): the DeploymentTypeId is not authorized for OptOuts "
            "for the AppId submitted. Email address t@omeda.com was not opted out."
        ),
        SUMMARY,
    ]


async def test_an_account_without_brands_refuses_every_opt_out(api: Any) -> None:
    """The cause that hits everyone has one text of its own."""
    api.sandbox.omeda.brands = set()
    reply = await api.post(OPT_OUT, EXAMPLE)
    assert reply.errors == [
        "There are currently no valid brands associated for the client submitted.",
        SUMMARY,
    ]


@pytest.mark.parametrize(("named", "count"), [(None, 3), (2, 2), (0, 0)])
async def test_answers_name_as_many_culprits_as_was_set(api: Any, named: int | None, count: int) -> None:
    """Fixing what is named may bring up new errors, and some answers name nobody."""
    api.sandbox.omeda.named_culprits = named
    body = {"BrandOptOut": [_brand(f"t{number}@omeda.com", "BAD") for number in range(3)]}
    errors = (await api.post(OPT_OUT, body)).errors
    assert (len(errors), errors[-1]) == (count + 1, SUMMARY)


async def test_an_address_can_be_made_to_fail_at_any_level(api: Any) -> None:
    """A client-level opt-out has no id that could be wrong."""
    api.sandbox.omeda.refused_emails.add("test4@omeda.com")
    reply = await api.post(OPT_OUT, EXAMPLE)
    assert reply.errors[0] == (
        "ClientOptOut submission: the EmailAddress is not valid. Email address test4@omeda.com was not opted out."
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("x", "The request body is not valid JSON."),
        ({}, "At least one of 'ClientOptOut', 'BrandOptOut', 'DeploymentTypeOptOut' is required."),
        ({"DeploymentTypeOptIn": []}, "Unknown field 'DeploymentTypeOptIn'."),
        ({"ClientOptOut": {}}, "The field 'ClientOptOut' must be an array."),
        ({"ClientOptOut": ["a@b.c"]}, "ClientOptOut submission: an element must be an object."),
        ({"ClientOptOut": [{}]}, "The field 'EmailAddress' is required."),
        (
            {"ClientOptOut": [{"EmailAddress": 5}]},
            "ClientOptOut submission: 'EmailAddress' and 'Source' must be strings.",
        ),
        ({"BrandOptOut": [{"EmailAddress": "a@b.c"}]}, "The field 'BrandId' is required."),
        (
            {"BrandOptOut": [{"EmailAddress": "a@b.c", "BrandId": [None]}]},
            "BrandOptOut submission: 'BrandId' must be a list of ids.",
        ),
        ({"ClientOptOut": [{"EmailAddress": "a@b.c", "Email": "a"}]}, "Unknown field 'Email'."),
    ],
)
async def test_malformed_requests_are_refused_as_a_whole(api: Any, body: object, text: str) -> None:
    """What no document describes is refused with a text that says where it is."""
    reply = await api.post(OPT_OUT, body)
    assert (reply.status, reply.errors) == (400, [text, SUMMARY])


async def test_unknown_fields_pass_where_strictness_is_off(api: Any) -> None:
    """Whether the real server minds is not known."""
    api.sandbox.omeda.strict_fields = False
    reply = await api.post(OPT_OUT, {"ClientOptOut": [{"EmailAddress": "a@b.c", "Email": "a"}]})
    assert reply.status == 200


async def test_a_lone_id_is_taken_as_a_list_of_one(api: Any) -> None:
    """The field table of the document says string, its example shows a list."""
    await api.post(OPT_OUT, {"BrandOptOut": [{"EmailAddress": "a@b.c", "BrandId": "XXG"}]})
    assert api.sandbox.omeda.opt_outs.applied() == {("brand", "a@b.c", "XXG")}


async def test_too_many_entries_get_413_where_a_limit_is_set(api: Any) -> None:
    """The provider publishes no limit, so it is an option."""
    api.sandbox.omeda.max_entries = 5
    assert (await api.post(OPT_OUT, EXAMPLE)).status == 413
    assert (await api.post(OPT_OUT, {"ClientOptOut": EXAMPLE["ClientOptOut"]})).status == 200


async def test_repeated_opt_outs_are_counted(api: Any) -> None:
    """A repeat is harmless to the provider and visible to a test."""
    for _ in range(2):
        await api.post(OPT_OUT, {"ClientOptOut": [{"EmailAddress": "a@b.c"}]})
    opt_outs = api.sandbox.omeda.opt_outs
    assert opt_outs.counter() == {("client", "a@b.c", None): 2}
    assert len(opt_outs.applied()) == 1


async def test_opt_outs_are_kept_packed(api: Any) -> None:
    """Ten thousand of them take far less memory than their requests did."""
    for batch in range(10):
        entries = [{"EmailAddress": f"person{batch}-{n}@example.com"} for n in range(1000)]
        await api.post(OPT_OUT, {"ClientOptOut": entries})
    packed = sum(len(one.packed) for one in api.sandbox.omeda.opt_outs.submissions)
    assert len(api.sandbox.omeda.opt_outs.applied()) == 10_000
    assert packed < 10_000 * 15
