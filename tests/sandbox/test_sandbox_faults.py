"""The sandbox's faults: what goes wrong, when, for whom, and what it leaves behind."""

import asyncio
from typing import Any

import aiohttp
import pytest

from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Incoming, Sandbox

OPT_OUT = "/webservices/rest/client/foo_client/optoutfilterqueue/*"
DEPLOYMENT = "/webservices/rest/brand/FOO/omail/deployment/*"
ANSWERED = [
    ("500", 500, "application/json"),
    ("502", 502, "text/html"),
    ("503", 503, "text/html"),
    ("504", 504, "text/html"),
    ("413", 413, "text/html"),
    ("429", 429, "application/json"),
    ("parallel", 429, "application/json"),
    ("wrong-json", 200, "application/json"),
    ("cut-json", 200, "application/json"),
    ("html", 200, "text/html"),
    ("empty", 200, "application/json"),
    ("session-lost", 401, "application/json"),
]


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize(("kind", "status", "content_type"), ANSWERED)
async def test_an_answer_is_replaced_and_the_effect_is_that_of_the_point(
    api: Any, kind: str, status: int, content_type: str, where: str
) -> None:
    """Before: nothing was done. After: it was, and the answer does not tell."""
    api.sandbox.ocamba.seed_campaign("1")
    fault = api.sandbox.fault(Fault(kind, where))
    reply = await api.cancel_campaign("1")
    assert (reply.status, reply.headers["Content-Type"]) == (status, content_type)
    assert api.sandbox.ocamba.campaigns["1"].cancels == (1 if where == "after" else 0)
    assert api.sandbox.faults.fired[fault] == 1
    assert api.sandbox.requests[-1].fault == f"{kind} {where}"


def test_every_kind_has_been_tried() -> None:
    """The table above leaves out only the kinds that answer nothing of their own."""
    assert {kind for kind, _, _ in ANSWERED} == set(FaultKind) - {"drop", "slow", "stray"}


@pytest.mark.parametrize(
    ("kind", "status"), [("drop", None), ("500", 500), ("502", 502), ("503", 503), ("504", 504), ("html", 200)]
)
async def test_what_is_carried_out_later_is_not_done_when_the_answer_comes(
    api: Any, kind: str, status: int | None
) -> None:
    """A gateway answers at once, and the provider applies the request a while later."""
    api.sandbox.ocamba.seed_campaign("1")
    api.sandbox.fault(Fault(kind, "later", seconds=0.9))
    if status is None:
        with pytest.raises(aiohttp.ClientError):
            await api.cancel_campaign("1")
    else:
        assert (await api.cancel_campaign("1")).status == status
    campaign = api.sandbox.ocamba.campaigns["1"]
    await asyncio.sleep(0.8)
    assert campaign.cancels == 0
    await asyncio.sleep(0.2)
    assert campaign.cancels == 1
    assert api.sandbox.requests[-1].fault == f"{kind} later"


@pytest.mark.parametrize(
    ("kind", "status", "cancels"),
    [
        ("session-lost", 401, 0),
        ("429", 429, 0),
        ("413", 413, 0),
        ("parallel", 429, 0),
        ("500", 500, 1),
        ("502", 502, 1),
    ],
)
async def test_a_cut_refusal_has_its_status_and_half_of_its_body(
    api: Any, kind: str, status: int, cancels: int
) -> None:
    """The status line has come, and the words do not; a refusal has carried out nothing."""
    api.sandbox.ocamba.seed_campaign("1")
    api.sandbox.fault(Fault(kind, "mid"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.cancel_campaign("1")
    assert api.sandbox.requests[-1].status == status
    assert api.sandbox.ocamba.campaigns["1"].cancels == cancels


async def test_the_providers_own_refusal_is_cut_too(api: Any) -> None:
    """There is no such campaign, and the words that say so do not come whole."""
    api.sandbox.fault(Fault("drop", "mid"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.cancel_campaign("1")
    assert api.sandbox.requests[-1].status == 404


async def test_stray_bytes_come_after_the_real_answer() -> None:
    """A connection that is kept alive is spoken to, though nobody has asked."""
    async with Sandbox() as sandbox:
        sandbox.ocamba.seed_campaign("1")
        fault = sandbox.fault(Fault("stray", seconds=2.0))
        reader, writer = await asyncio.open_connection(*sandbox.url.removeprefix("http://").split(":"))
        head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {sandbox.ocamba_token}\r\n\r\n"
        writer.write(f"GET /v1/hood/campaigns/1 HTTP/1.1\r\n{head}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        began = _now()
        stray = await reader.readuntil(b"204 No Content\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert stray.endswith(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert _now() - began == pytest.approx(2.0, abs=0.1)
        assert sandbox.faults.fired[fault] == 1
        writer.close()


@pytest.mark.parametrize(
    ("kind", "where", "why"),
    [
        ("slow", "later", "the real one"),
        ("stray", "later", "the real one"),
        ("slow", "mid", "the real one"),
        ("stray", "mid", "the real one"),
        ("empty", "mid", "no body to cut"),
    ],
)
def test_a_kind_that_cannot_happen_at_a_point_is_refused(kind: str, where: str, why: str) -> None:
    """The message names both, and says why."""
    with pytest.raises(ValueError, match=f"'{kind}' cannot happen at '{where}': .*{why}"):
        Fault(kind, where)
    with pytest.raises(ValueError, match=why):
        Fault.parse(f"{kind},{where}")


@pytest.mark.parametrize(("where", "cancels"), [("before", 0), ("after", 1), ("mid", 1)])
async def test_a_dropped_connection_leaves_what_its_point_says(api: Any, where: str, cancels: int) -> None:
    """No whole answer comes back, whether it was done or not."""
    api.sandbox.ocamba.seed_campaign("1")
    api.sandbox.fault(Fault("drop", where))
    with pytest.raises(aiohttp.ClientError):
        await api.cancel_campaign("1")
    assert api.sandbox.ocamba.campaigns["1"].cancels == cancels
    assert (await api.get("/v1/hood/campaigns/1")).status == 200


async def test_a_cut_answer_has_the_head_and_half_of_the_body(api: Any) -> None:
    """The status arrives, the rest of the body never does."""
    api.sandbox.omeda.seed_deployment("T")
    api.sandbox.fault(Fault("drop", "mid"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.cancel_deployment("T")
    assert api.sandbox.omeda.deployments["T"].status == "Cancelled"
    assert api.sandbox.requests[-1].status == 200


async def test_a_lost_create_is_seen_to_have_happened(api: Any) -> None:
    """What a client that repeats it blindly would double."""
    body = {
        "DeploymentName": "Spring",
        "DeploymentDate": "2035-02-28 13:45",
        "DeploymentTypeId": 124,
        "OwnerUserId": "omailAccount1",
        "Splits": 1,
        "TrackLinks": 1,
        "TrackOpens": 1,
    }
    api.sandbox.fault(Fault("drop", "after", "deployments.create"))
    with pytest.raises(aiohttp.ClientError):
        await api.post(DEPLOYMENT, body)
    await api.post(DEPLOYMENT, body)
    assert api.sandbox.omeda.creates == {"Spring": 2}


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_slow_answer_takes_its_time_on_the_loops_clock(api: Any, where: str) -> None:
    """A moved clock drives it."""
    api.sandbox.ocamba.seed_campaign("1")
    api.sandbox.fault(Fault("slow", where, seconds=30.0))
    began = _now()
    reply = await api.cancel_campaign("1")
    assert (reply.status, _now() - began >= 30.0) == (204, True)


@pytest.mark.parametrize(("where", "cancels"), [("before", 0), ("after", 1)])
async def test_a_client_that_gives_up_on_a_slow_answer_can_not_know(api: Any, where: str, cancels: int) -> None:
    """What had been done by then depends on the point; the server goes on all the same."""
    api.sandbox.ocamba.seed_campaign("1")
    api.sandbox.fault(Fault("slow", where, seconds=30.0))
    with pytest.raises(TimeoutError):
        await api.post("/v1/hood/campaigns/1/cancel", {}, timeout=aiohttp.ClientTimeout(total=5.0))
    assert api.sandbox.ocamba.campaigns["1"].cancels == cancels


def _now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        (None, True),
        ("ocamba", True),
        ("omeda", False),
        ("campaigns.cancel", True),
        ("ocamba.campaigns.cancel", True),
        ("campaigns.get", False),
        ("1", True),
        ("2", False),
        (lambda incoming: incoming.json == {"reason": "a test"}, True),
        (lambda incoming: incoming.method == "GET", False),
    ],
)
async def test_a_fault_finds_the_requests_it_is_for(api: Any, match: Any, hit: bool) -> None:
    """By provider, operation, record or predicate."""
    api.sandbox.ocamba.seed_campaign("1")
    api.sandbox.fault(Fault("503", match=match))
    assert (await api.cancel_campaign("1")).status == (503 if hit else 204)


@pytest.mark.parametrize(
    ("path", "body", "match"),
    [
        (OPT_OUT, {"ClientOptOut": [{"EmailAddress": "a@b.c"}]}, "a@b.c"),
        ("/workspaces/secure/api/v1/txn/cancel", {"params": {"submitKey": "15d0"}}, "15d0"),
        ("/webservices/rest/brand/FOO/omail/deployment/cancel/*", {"TrackId": "T"}, "T"),
    ],
)
async def test_every_provider_names_its_records(api: Any, path: str, body: object, match: str) -> None:
    """An address, a submit key and a track id are found in the body."""
    api.sandbox.fault(Fault("502", match=match))
    assert (await api.post(path, body)).status == 502


async def test_look_ups_are_matched_by_the_id_in_their_path(api: Any) -> None:
    """A read has no body to look into."""
    api.sandbox.fault(Fault("502", match="T"))
    assert (await api.get("/webservices/rest/brand/FOO/omail/deployment/lookup/T/*")).status == 502


async def test_a_fault_happens_as_often_as_it_says(api: Any) -> None:
    """Then it is out of force; one without end goes on until it is cleared."""
    api.sandbox.fault(Fault("502", times=2))
    endless = api.sandbox.fault(Fault("503", times=None))
    statuses = [(await api.cancel_campaign("1")).status for _ in range(5)]
    assert statuses == [502, 502, 503, 503, 503]
    assert api.sandbox.faults.armed == (endless,)
    api.sandbox.faults.clear()
    assert (await api.cancel_campaign("1")).status == 404
    assert api.sandbox.faults.by_label == {"502 before": 2, "503 before": 3}


async def test_chances_come_from_the_seed() -> None:
    """The same seed drops the same requests, about as many as the probability says."""

    async def statuses(seed: int) -> list[int]:
        async with Sandbox(seed=seed, ocamba_windows=()) as sandbox, aiohttp.ClientSession() as session:
            sandbox.fault(Fault("503", times=None, probability=0.3))
            found = []
            for _ in range(100):
                async with session.get(sandbox.url + "/v1/hood/campaigns") as response:
                    found.append(response.status)
            return found

    first, again, other = [await statuses(seed) for seed in (1, 1, 2)]
    assert first == again != other
    assert 15 <= first.count(503) <= 45


@pytest.mark.parametrize(
    ("fault", "header"),
    [
        (Fault("503"), "1"),
        (Fault("503", retry_after=7), "7"),
        (Fault("503", retry_after=None), None),
        (Fault("429", retry_after="Sun, 22 Nov 2026 13:00:00 GMT"), "Sun, 22 Nov 2026 13:00:00 GMT"),
        (Fault("429", retry_after=None), None),
        (Fault("parallel"), "-1"),
        (Fault("502"), None),
    ],
)
async def test_retry_after_is_what_was_set(api: Any, fault: Fault, header: str | None) -> None:
    """Seconds, a date, minus one, or none."""
    api.sandbox.fault(fault)
    assert (await api.cancel_campaign("1")).headers.get("Retry-After") == header


async def test_a_500_is_in_the_words_of_the_provider(api: Any) -> None:
    """Ocamba's has no message, Journey Manager's an error log id, Omeda's an Errors list."""
    api.sandbox.fault(Fault("500", times=None))
    ocamba = await api.cancel_campaign("1")
    manager = [await api.cancel_transaction("k") for _ in range(2)]
    omeda = await api.cancel_deployment("T")
    assert ocamba.json.keys() == {"code", "title", "trace_id"}
    assert [one.json["errorMessage"] for one in manager] == [
        "Please see Error Log ID 1001",
        "Please see Error Log ID 1002",
    ]
    assert (omeda.status, len(omeda.errors)) == (500, 1)


async def test_a_lost_session_is_in_the_way_of_the_provider(api: Any) -> None:
    """A redirect at Journey Manager, 403 at Omeda."""
    api.sandbox.fault(Fault("session-lost", times=2))
    assert (await api.cancel_transaction("k")).headers["Location"] == "/workspaces/login"
    assert (await api.cancel_deployment("T")).status == 403


async def test_a_request_over_the_limit_does_not_use_up_a_fault(api: Any) -> None:
    """The limits come first."""
    fault = api.sandbox.fault(Fault("502", times=None))
    statuses = [(await api.cancel_campaign("1")).status for _ in range(12)]
    assert statuses == [502] * 10 + [429] * 2
    assert api.sandbox.faults.fired[fault] == 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drop", (FaultKind.DROP, FaultPoint.BEFORE, None, 1, 1.0, 1.0, 1)),
        (
            "drop, after, match=campaigns.cancel, times=3",
            (FaultKind.DROP, FaultPoint.AFTER, "campaigns.cancel", 3, 1.0, 1.0, 1),
        ),
        (
            "503,probability=0.1,times=always,retry_after=none",
            (FaultKind.UNAVAILABLE, FaultPoint.BEFORE, None, None, 0.1, 1.0, None),
        ),
        ("502,later,seconds=0.9", (FaultKind.BAD_GATEWAY, FaultPoint.LATER, None, 1, 1.0, 0.9, 1)),
        ("429,mid", (FaultKind.TOO_MANY, FaultPoint.MID, None, 1, 1.0, 1.0, 1)),
        ("stray,seconds=0.1", (FaultKind.STRAY, FaultPoint.BEFORE, None, 1, 1.0, 0.1, 1)),
        ("slow,after,seconds=2.5", (FaultKind.SLOW, FaultPoint.AFTER, None, 1, 1.0, 2.5, 1)),
    ],
)
def test_faults_can_be_written_on_a_command_line(text: str, expected: tuple[object, ...]) -> None:
    """Kind, point and options, separated by commas."""
    fault = Fault.parse(text)
    found = (fault.kind, fault.where, fault.match, fault.times, fault.probability, fault.seconds)
    assert (*found, fault.retry_after) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("explode", "unknown kind .explode.; the kinds are drop, slow"),
        ("drop,sometimes", "unknown point .sometimes.; the points are before, after, later, mid"),
        ("drop,after,twice", "kind"),
        ("times=3", "kind"),
        ("drop,how=often", "unknown option 'how'"),
        ("drop,times=0", "at least 1"),
        ("drop,times=x", "times=x.*whole number from 1, or always"),
        ("drop,probability=2", "probability must be a number from 0 to 1"),
        ("slow,seconds=-1", "seconds"),
    ],
)
def test_what_is_no_fault_says_which_part(text: str, reason: str) -> None:
    """A wrong kind, point or option is a ValueError."""
    with pytest.raises(ValueError, match=reason):
        Fault.parse(text)


def test_a_predicate_is_given_the_request() -> None:
    """With its query and body ready to be looked at."""
    incoming = Incoming(method="GET", target="/v1/a%2Fb?page=1,10&q=", headers={}, body=b"{")
    assert incoming.segments == ("v1", "a/b")
    assert incoming.query == {"page": "1,10", "q": ""}
    assert incoming.json is None
    assert "{" not in repr(incoming)


@pytest.mark.parametrize("times", [float("inf"), 1.5, 0, "3"])
def test_a_fault_happens_a_whole_number_of_times(times: Any) -> None:
    """JSON that a program sends may hold ``1e400``, which no page could read when it is told again."""
    with pytest.raises(ValueError, match="times must be a whole number of at least 1, or None for always"):
        Fault("500", times=times)


@pytest.mark.parametrize("retry_after", ["1\r\nSet-Cookie: a=b", "\u2028", "\x00"])
def test_a_retry_after_is_what_a_header_can_hold(retry_after: str) -> None:
    """Else the answer could not be sent."""
    with pytest.raises(ValueError, match="retry_after must be what a header can hold"):
        Fault("429", retry_after=retry_after)
