"""Settings: checked when made, secrets kept out of sight, read from the environment."""

import copy
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest

from omeda_async import (
    BasicAuth,
    BearerAuth,
    ConfigurationError,
    Environment,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    RateLimit,
    RetryPolicy,
    SessionAuth,
    SessionManager,
    Window,
)
from omeda_async._environment import settings_from_env

SECRET = "s3cr3t-v4lue"


async def _prepare(_session: Any, _url: str) -> Mapping[str, str]:
    return {"Cookie": SECRET}


def _omeda(**changes: Any) -> OmedaSettings:
    return OmedaSettings(**{"app_id": SECRET, "brand": "FOO", **changes})


def _ocamba(**changes: Any) -> OcambaSettings:
    return OcambaSettings(**{"token": SECRET, **changes})


def _journey_manager(**changes: Any) -> JourneyManagerSettings:
    given = {"base_url": "https://jm.example.com/workspaces", "auth": BasicAuth("user", SECRET), **changes}
    return JourneyManagerSettings(**given)


MAKERS = (_omeda, _ocamba, _journey_manager)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: _omeda(app_id=""), "OmedaSettings.app_id is missing"),
        (lambda: _omeda(app_id="  "), "OmedaSettings.app_id is missing"),
        (lambda: _omeda(app_id=None), "OmedaSettings.app_id is missing"),
        (lambda: _omeda(app_id=f"{SECRET}\n"), "OmedaSettings.app_id holds characters"),
        (lambda: _omeda(brand=None), "OmedaSettings.brand and OmedaSettings.client are both missing"),
        (lambda: _omeda(brand=""), "OmedaSettings.brand is missing"),
        (lambda: _omeda(client=7), "OmedaSettings.client is missing"),
        (lambda: _omeda(user_id=" "), "OmedaSettings.user_id is missing"),
        (lambda: _omeda(input_id="a\r\nb"), "OmedaSettings.input_id holds characters"),
        (lambda: _omeda(environment="staging"), "OmedaSettings.environment"),
        (lambda: _omeda(retry=None), "OmedaSettings.retry must be a RetryPolicy"),
        (lambda: _omeda(rate_limit=10), "OmedaSettings.rate_limit must be a RateLimit"),
        (lambda: _omeda(timeout=0), "OmedaSettings.timeout must be a positive number"),
        (lambda: _omeda(connect_timeout="10"), "OmedaSettings.connect_timeout must be a positive number"),
        (lambda: _ocamba(token=""), "OcambaSettings.token is missing"),
        (lambda: _ocamba(token=None), "OcambaSettings.token is missing"),
        (lambda: _ocamba(token=f"{SECRET}\x00"), "OcambaSettings.token holds characters"),
        (lambda: _ocamba(timeout=float("nan")), "OcambaSettings.timeout must be a positive number"),
        (lambda: _ocamba(timeout=True), "OcambaSettings.timeout must be a positive number"),
        (lambda: _ocamba(base_url=None), "OcambaSettings.base_url must be a URL"),
        (lambda: BasicAuth("", SECRET), "BasicAuth.user is missing"),
        (lambda: BasicAuth("user", ""), "BasicAuth.password is missing"),
        (lambda: BasicAuth("us:er", SECRET), "BasicAuth.user must not hold a colon"),
        (lambda: BearerAuth(""), "BearerAuth.token is missing"),
        (lambda: SessionAuth("cookie"), "SessionAuth.prepare must be an async callable"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: _journey_manager(auth=SECRET), "JourneyManagerSettings.auth must be a BasicAuth"),
        (lambda: _journey_manager(headers=[("a", "b")]), "JourneyManagerSettings.headers must be a mapping"),
        (lambda: _journey_manager(headers={"X-CSRF": ""}), "JourneyManagerSettings.headers['X-CSRF'] is missing"),
        (lambda: _journey_manager(headers={"X CSRF": "1"}), "JourneyManagerSettings.headers holds a name"),
        (lambda: RetryPolicy(attempts=0), "RetryPolicy.attempts must be a whole number from 1"),
        (lambda: RetryPolicy(attempts=True), "RetryPolicy.attempts"),
        (lambda: RetryPolicy(attempts=2.0), "RetryPolicy.attempts"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda: RetryPolicy(base_delay=-1), "RetryPolicy.base_delay"),
        (lambda: RetryPolicy(max_delay=float("inf")), "RetryPolicy.max_delay"),
        (lambda: RetryPolicy(deadline=0), "RetryPolicy.deadline"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(make: Callable[[], object], names: str) -> None:
    """The error says which setting is wrong, and shows no secret."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert names in str(caught.value)
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com", "must be a URL"),
        ("example.com", "must be a URL"),
        ("https://", "must be a URL"),
        ("https:///path", "must be a URL"),
        ("https://example.com:0", "must be a URL"),
        ("https://example.com:99999", "must be a URL"),
        ("https://example.com:port", "must be a URL"),
        ("https://exa mple.com", "must be a URL"),
        (" https://example.com", "must be a URL"),
        ("\x00https://example.com", "must be a URL"),
        ("https://example.com\\@evil.example", "must be a URL"),
        ("https://exämple.com", "must be a URL"),
        ("https://[::1", "must be a URL"),
        (f"https://user:{SECRET}@example.com", "must not hold a user name or password"),
        ("http://127.0.0.1@evil.example", "must not hold a user name or password"),
        ("https://@example.com", "must not hold a user name or password"),
        ("https://example.com/?", "must not have a query or fragment"),
        ("https://example.com/?a=b", "must not have a query or fragment"),
        ("https://example.com/#", "must not have a query or fragment"),
        ("http://example.com", "must use https"),
        ("http://127.0.0.1.example.com", "must use https"),
        ("http://localhost.example.com", "must use https"),
        ("http://10.0.0.1", "must use https"),
        ("http://0.0.0.0", "must use https"),
        ("HTTP://EXAMPLE.COM", "must use https"),
    ],
)
def test_a_base_url_that_is_none_or_would_leak_is_refused(make: Callable[..., Any], url: str, reason: str) -> None:
    """Only https goes to other machines, and nothing but scheme, host, port and path is in a base URL."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        make(base_url=url)
    assert reason in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/context/path",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://localhost:1",
        "http://LOCALHOST",
        "http://[::1]:8080/x",
    ],
)
def test_a_good_base_url_is_taken_with_its_last_slash_off(make: Callable[..., Any], url: str) -> None:
    """Requests go to the URL as given; a slash at its end makes no difference."""
    assert make(base_url=url).url == url
    assert make(base_url=f"{url}/").url == url


def test_the_environments_have_the_documented_hosts() -> None:
    """Production and staging are Omeda's two hosts, and a base URL goes before both."""
    assert _omeda().url == "https://ows.omeda.com"
    assert _omeda(environment=Environment.STAGING).url == "https://ows.omedastaging.com"
    assert _omeda(environment=Environment.STAGING, base_url="https://example.com").url == "https://example.com"
    assert _ocamba().url == "https://api.ocamba.com"


def test_the_default_limits_are_the_documented_ones() -> None:
    """Ocamba's is its class C; the other two are courtesies of ours."""
    assert (_ocamba().rate_limit.windows, _ocamba().rate_limit.parallel) == ((Window(10, 1.0), Window(150, 60.0)), 10)
    assert _omeda().rate_limit == RateLimit.courtesy(per_second=10, parallel=8)
    assert _journey_manager().rate_limit == RateLimit.courtesy(per_second=5, parallel=2)


@pytest.mark.parametrize(
    "holder",
    [
        _omeda(input_id=f"input-{SECRET}"),
        _ocamba(),
        _journey_manager(headers={"X-CSRF": SECRET}),
        BasicAuth("user", SECRET),
        BearerAuth(SECRET),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_a_secret_is_in_no_text_and_no_pickle(holder: Any) -> None:
    """Neither repr nor str shows it; pickle and copy are refused, as they would write it down."""
    assert SECRET not in repr(holder)
    assert SECRET not in str(holder)
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="holds secrets") as caught:
            copied(holder)
        assert SECRET not in str(caught.value)


def test_changing_a_setting_checks_it_again() -> None:
    """A changed copy is validated like a new one, and its error shows no secret."""
    settings = _omeda()
    assert attrs.evolve(settings, brand="BAR").brand == "BAR"
    with pytest.raises(ConfigurationError, match="brand") as caught:
        attrs.evolve(settings, brand="")
    assert SECRET not in str(caught.value)


def test_settings_are_frozen_and_keyword_only() -> None:
    """Nothing can be changed after the checks, not even through the mapping that was given."""
    headers = {"X-CSRF": "1"}
    settings = _journey_manager(headers=headers)
    headers["X-CSRF"] = "2\n"
    assert settings.headers == {"X-CSRF": "1"}
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings.timeout = 1  # type: ignore[misc]  # wrong on purpose
    with pytest.raises(TypeError):
        OcambaSettings(SECRET)  # type: ignore[call-arg]  # wrong on purpose


def test_basic_auth_is_written_as_the_rfc_says() -> None:
    """User and password are joined by a colon, in UTF-8, in base 64."""
    assert BasicAuth("Aladdin", "open sesame").header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert BasicAuth("test", "123£").header == "Basic dGVzdDoxMjPCow=="


FULL = {
    "OMEDA_APP_ID": "app",
    "OMEDA_BRAND": "FOO",
    "OMEDA_CLIENT": "foo_client",
    "OMEDA_USER_ID": "omailAccount1",
    "OMEDA_ENVIRONMENT": "Staging",
    "OCAMBA_TOKEN": "token",
    "OCAMBA_BASE_URL": "http://127.0.0.1:1",
    "JOURNEY_MANAGER_BASE_URL": "https://jm.example.com/workspaces",
    "JOURNEY_MANAGER_USERNAME": "user",
    "JOURNEY_MANAGER_PASSWORD": "password",
}


def test_every_variable_finds_its_setting() -> None:
    """The environment makes the settings of all three providers."""
    found = settings_from_env({**FULL, "OMEDA_RATE_LIMIT": ""})
    assert found.omeda == OmedaSettings(
        app_id="app", brand="FOO", client="foo_client", user_id="omailAccount1", environment=Environment.STAGING
    )
    assert found.ocamba == OcambaSettings(token="token", base_url="http://127.0.0.1:1")
    assert found.journey_manager == JourneyManagerSettings(
        base_url="https://jm.example.com/workspaces", auth=BasicAuth("user", "password")
    )


def test_a_base_url_and_a_token_have_variables_too() -> None:
    """``OMEDA_BASE_URL`` replaces the host, and a Journey Manager token goes before a password."""
    found = settings_from_env({**FULL, "OMEDA_BASE_URL": "http://127.0.0.1:8080/", "JOURNEY_MANAGER_TOKEN": "t"})
    assert found.omeda is not None
    assert found.omeda.url == "http://127.0.0.1:8080"
    assert found.journey_manager is not None
    assert found.journey_manager.auth == BearerAuth("t")


@pytest.mark.parametrize("name", ["OMEDA_BASE_URL", "OMEDA_ENVIRONMENT", "OCAMBA_BASE_URL", "JOURNEY_MANAGER_BASE_URL"])
def test_an_empty_variable_that_says_where_requests_go_is_refused(name: str) -> None:
    """It would have meant production; where nothing else of its provider is set, nothing is sent there anyway."""
    with pytest.raises(ConfigurationError, match=f"^{name} is set, but empty, and where requests go is not guessed"):
        settings_from_env({**FULL, name: ""})
    only: Any = "ocamba" if not name.startswith("OCAMBA") else "omeda"
    assert settings_from_env({**FULL, name: ""}, only=only) is not None
    alone = {"OCAMBA_TOKEN": "t"} if only == "ocamba" else {"OMEDA_APP_ID": "a", "OMEDA_BRAND": "b"}
    assert settings_from_env({**alone, name: ""}) == settings_from_env(alone)


def test_where_requests_go_is_settled_before_anything_else() -> None:
    """Also where another provider lacks what it needs."""
    environ = {"OMEDA_USER_ID": "u", "OCAMBA_TOKEN": "t", "OCAMBA_BASE_URL": ""}
    with pytest.raises(ConfigurationError, match=r"^OCAMBA_BASE_URL is set, but empty"):
        settings_from_env(environ)


@pytest.mark.parametrize("provider", ["omeda", "ocamba", "journey_manager"])
def test_a_limit_has_a_variable_for_each_provider(provider: str) -> None:
    """It replaces the whole limit of that provider, and of no other; a wrong one is named."""
    name = f"{provider.upper()}_RATE_LIMIT"
    found, usual = settings_from_env({**FULL, name: "3/1, 20/60"}), settings_from_env(FULL)
    for one in ("omeda", "ocamba", "journey_manager"):
        expected = RateLimit(Window(3, 1.0), Window(20, 60.0)) if one == provider else getattr(usual, one).rate_limit
        assert getattr(found, one).rate_limit == expected
    with pytest.raises(ConfigurationError, match=f"^{name} '3': in '3', there is neither"):
        settings_from_env({**FULL, name: "3"})


def test_a_provider_without_variables_is_left_out() -> None:
    """One provider is enough, and names that are none of ours change nothing."""
    found = settings_from_env({"OCAMBA_TOKEN": "t", "OMEDA_FOO": "x", "OCAMBA_": "x", "JOURNEY_MANAGER_HOME": "/"})
    assert (found.omeda, found.journey_manager) == (None, None)
    assert found.ocamba == OcambaSettings(token="t")


def test_of_one_provider_only_its_own_variables_are_read() -> None:
    """What the others lack or have wrong is not complained about, and without any of its own it is none."""
    environ = {"OCAMBA_TOKEN": "t", "OMEDA_BASE_URL": "nonsense"}
    found = settings_from_env(environ, only="ocamba")
    assert found.ocamba == OcambaSettings(token="t")
    assert (found.omeda, found.journey_manager) == (None, None)
    assert settings_from_env(environ, only="journey_manager").journey_manager is None


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "set OMEDA_APP_ID with OMEDA_BRAND or OMEDA_CLIENT; OCAMBA_TOKEN; or JOURNEY_MANAGER_BASE_URL"),
        ({"OMEDA_FOO": "x"}, "no provider is configured"),
        (
            {"OMEDA_USER_ID": "u"},
            "OMEDA_APP_ID is missing from the environment, although OMEDA_USER_ID is set: set OMEDA_APP_ID with OMEDA_",
        ),
        ({"OMEDA_APP_ID": SECRET}, "OMEDA_BRAND and OMEDA_CLIENT are both missing"),
        ({"OMEDA_APP_ID": f"{SECRET}\n", "OMEDA_BRAND": "FOO"}, "OMEDA_APP_ID holds characters"),
        ({"OMEDA_APP_ID": SECRET, "OMEDA_BRAND": "FOO", "OMEDA_ENVIRONMENT": "test"}, "OMEDA_ENVIRONMENT must be"),
        ({"OMEDA_APP_ID": SECRET, "OMEDA_BRAND": "FOO", "OMEDA_BASE_URL": "x"}, "OMEDA_BASE_URL must be a URL"),
        ({"OCAMBA_BASE_URL": "https://x.example"}, "OCAMBA_TOKEN is missing"),
        ({"OCAMBA_TOKEN": SECRET, "OCAMBA_BASE_URL": "http://x.example"}, "OCAMBA_BASE_URL must use https"),
        (
            {"JOURNEY_MANAGER_BASE_URL": "https://x.example"},
            "set JOURNEY_MANAGER_BASE_URL, and JOURNEY_MANAGER_USERNAME with JOURNEY_MANAGER_PASSWORD, or JOURNEY_",
        ),
        (
            {"JOURNEY_MANAGER_BASE_URL": "https://x.example", "JOURNEY_MANAGER_USERNAME": "u"},
            "JOURNEY_MANAGER_PASSWORD is missing",
        ),
        ({"JOURNEY_MANAGER_TOKEN": SECRET}, "JOURNEY_MANAGER_BASE_URL is missing"),
        (
            {
                "JOURNEY_MANAGER_BASE_URL": "https://x.example",
                "JOURNEY_MANAGER_USERNAME": "a:b",
                "JOURNEY_MANAGER_PASSWORD": SECRET,
            },
            "JOURNEY_MANAGER_USERNAME must not hold a colon",
        ),
    ],
)
def test_a_missing_or_wrong_variable_is_named(environ: dict[str, str], message: str) -> None:
    """The error speaks of the variable, not of the setting behind it, and shows no secret."""
    with pytest.raises(ConfigurationError) as caught:
        settings_from_env(environ)
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("provider", "needs"),
    [
        ("omeda", "set OMEDA_APP_ID with OMEDA_BRAND or OMEDA_CLIENT"),
        ("ocamba", "set OCAMBA_TOKEN"),
        ("journey_manager", "JOURNEY_MANAGER_USERNAME with JOURNEY_MANAGER_PASSWORD, or JOURNEY_MANAGER_TOKEN"),
    ],
)
def test_a_provider_that_is_not_configured_names_all_that_it_needs(provider: str, needs: str) -> None:
    """The argument, and the variables: whoever has set one of them does not come back for the next."""
    other: Any = {"omeda": _omeda()} if provider == "ocamba" else {"ocamba": OcambaSettings(token="t")}
    with pytest.raises(ConfigurationError, match=f"give {provider}=") as caught:
        getattr(SessionManager(**other), provider)
    assert needs in str(caught.value)


async def test_a_manager_is_made_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """``SessionManager.from_env`` reads the process's own environment."""
    for name, value in FULL.items():
        monkeypatch.setenv(name, value)
    async with SessionManager.from_env() as manager:
        assert manager.omeda.deployments is not None
        assert manager.ocamba.limits.parallel == 10
        assert manager.journey_manager.limits.parallel == 2
    for name in FULL:
        monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match="no provider is configured"):
        SessionManager.from_env()


def test_each_session_auth_prepares_with_the_callable_given() -> None:
    """The hook is kept, and is no part of the repr."""
    auth = SessionAuth(_prepare)
    assert auth.prepare is _prepare
    assert "prepare" not in repr(auth)


def test_a_user_that_is_an_address_is_masked() -> None:
    """Whoever logs in by an e-mail address is not shown by it in a repr."""
    settings = OmedaSettings(app_id=SECRET, brand="FOO", user_id="jane@corp.example")
    shown = repr(settings) + repr(BasicAuth("jane@corp.example", SECRET))
    assert "jane" not in shown
    assert shown.count("j***@corp.example") == 2


@pytest.mark.parametrize(
    ("changes", "for_tests"),
    [
        ({}, False),
        ({"environment": Environment.STAGING}, True),
        ({"base_url": "https://ows.omeda.com"}, False),
        ({"base_url": "https://ows.omedastaging.com/"}, True),
        ({"base_url": "http://127.0.0.1:8080"}, True),
        ({"base_url": "http://localhost:8080"}, True),
        ({"base_url": "http://[::1]:8080"}, True),
        ({"base_url": "https://gateway.example.com"}, False),
        ({"base_url": "https://gateway.example.com", "environment": Environment.STAGING}, True),
        ({"base_url": "https://OWS.omeda.com:443", "environment": Environment.STAGING}, False),
    ],
)
def test_what_may_be_production_is_taken_for_it(changes: dict[str, Any], *, for_tests: bool) -> None:
    """Only staging and this machine are known for tests; production's host is production whatever is said."""
    assert _omeda(**changes).for_tests is for_tests


@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_odd_addresses_are_allowed_with_true_or_not_at_all(value: Any) -> None:
    """A word for yes is no yes; the settings, a run and a batcher say so."""
    with pytest.raises(ConfigurationError, match=r"OmedaSettings.allow_odd_addresses must be True or False"):
        _omeda(allow_odd_addresses=value)
    opt_outs = SessionManager(omeda=_omeda(client="c")).omeda.opt_outs
    makers: list[Callable[..., object]] = [opt_outs.batcher, lambda **options: opt_outs.submit_many([], **options)]
    for make in makers:
        if value is not None:
            with pytest.raises(ConfigurationError, match=r"^allow_odd_addresses must be True or False"):
                make(allow_odd_addresses=value)
