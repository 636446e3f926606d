"""What the environment says: the settings of the three providers, and the proxies."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs

from omeda_async._proxies import VARIABLES
from omeda_async.errors import ConfigurationError
from omeda_async.limits import RateLimit, check_where
from omeda_async.settings import (
    JOURNEY_MANAGER_COURTESY,
    OCAMBA_CLASS_C,
    OCAMBA_HOST,
    OMEDA_COURTESY,
    OMEDA_HOSTS,
    BasicAuth,
    BearerAuth,
    Environment,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
)


@attrs.frozen(kw_only=True)
class EnvironmentSettings:
    """The settings found in the environment; None for a provider without any."""

    omeda: OmedaSettings | None = None
    ocamba: OcambaSettings | None = None
    journey_manager: JourneyManagerSettings | None = None
    share_limits: str | None = attrs.field(default=None, repr=False)
    """Where limits are shared with other processes; it may hold a password."""


_VARIABLES_OF = {
    "omeda": (
        *("OMEDA_APP_ID", "OMEDA_BRAND", "OMEDA_CLIENT", "OMEDA_USER_ID"),
        *("OMEDA_ENVIRONMENT", "OMEDA_BASE_URL", "OMEDA_RATE_LIMIT"),
    ),
    "ocamba": ("OCAMBA_TOKEN", "OCAMBA_BASE_URL", "OCAMBA_RATE_LIMIT"),
    "journey_manager": (
        *("JOURNEY_MANAGER_BASE_URL", "JOURNEY_MANAGER_USERNAME", "JOURNEY_MANAGER_PASSWORD"),
        *("JOURNEY_MANAGER_TOKEN", "JOURNEY_MANAGER_RATE_LIMIT"),
    ),
}
_WHERE_TO = ("OMEDA_BASE_URL", "OMEDA_ENVIRONMENT", "OCAMBA_BASE_URL", "JOURNEY_MANAGER_BASE_URL")
"""Empty, these would mean the provider itself, where what is sent cannot be undone."""
NEEDS = {
    "omeda": "OMEDA_APP_ID with OMEDA_BRAND or OMEDA_CLIENT",
    "ocamba": "OCAMBA_TOKEN",
    "journey_manager": "JOURNEY_MANAGER_BASE_URL, and JOURNEY_MANAGER_USERNAME with JOURNEY_MANAGER_PASSWORD, or "
    "JOURNEY_MANAGER_TOKEN",
}
"""The variables that have to be set, by the name of the provider's settings."""
_SHARE_LIMITS = "OMEDA_ASYNC_SHARE_LIMITS"
_VARIABLES = {
    "OmedaSettings.app_id": "OMEDA_APP_ID",
    "OmedaSettings.brand": "OMEDA_BRAND",
    "OmedaSettings.client": "OMEDA_CLIENT",
    "OmedaSettings.user_id": "OMEDA_USER_ID",
    "OmedaSettings.base_url": "OMEDA_BASE_URL",
    "OcambaSettings.token": "OCAMBA_TOKEN",
    "OcambaSettings.base_url": "OCAMBA_BASE_URL",
    "JourneyManagerSettings.base_url": "JOURNEY_MANAGER_BASE_URL",
    "BasicAuth.user": "JOURNEY_MANAGER_USERNAME",
    "BasicAuth.password": "JOURNEY_MANAGER_PASSWORD",
    "BearerAuth.token": "JOURNEY_MANAGER_TOKEN",
}
_SETTING = re.compile("|".join(rf"{re.escape(name)}\b" for name in _VARIABLES))


def settings_from_env(
    environ: Mapping[str, str] | None = None,
    *,
    only: Literal["omeda", "ocamba", "journey_manager"] | None = None,
    needs: str | None = None,
) -> EnvironmentSettings:
    """Read the settings of every provider that the environment names.

    An empty variable is none. Where others of its provider are set, one that says where to send must not be empty.

    Args:
        environ: The variables; None for those of the process.
        only: The one provider whose variables are read, whatever the others' are; None for all of them.
        needs: The variables to name where one is missing; None for those that the provider always needs.

    Raises:
        ConfigurationError: A variable is empty or wrong, and the message names it; or one is missing, and the message
            names all that have to be set. Without ``only``, also where the environment names no provider at all.
    """
    given = os.environ if environ is None else environ
    wanted = _MAKERS if only is None else (only,)
    try:
        envs = {provider: _set_in(given, _VARIABLES_OF[provider]) for provider in wanted}
        settings = {name: _MAKERS[name](env, needs or NEEDS[name]) for name, env in envs.items() if env}
        found = EnvironmentSettings(**settings, share_limits=given.get(_SHARE_LIMITS) or None)
        check_where(found.share_limits, _SHARE_LIMITS)
    except ConfigurationError as error:
        named = _SETTING.sub(lambda match: _VARIABLES[match[0]], error.message)
        raise ConfigurationError(named) from None
    if only is None and not (found.omeda or found.ocamba or found.journey_manager):
        raise ConfigurationError(
            "no provider is configured: set {omeda}; {ocamba}; or {journey_manager}".format(**NEEDS)
        )
    return found


def proxy_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that name a proxy for https, or whom to reach without one; an empty variable is none."""
    given = os.environ if environ is None else environ
    return {name: given[name] for name in VARIABLES if given.get(name)}


def _set_in(given: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the variables of a provider that are set."""
    env = {name: given[name] for name in names if given.get(name)}
    for name in names if env else ():
        if name in _WHERE_TO and given.get(name) == "":
            raise ConfigurationError(
                f"{name} is set, but empty, and where requests go is not guessed: give it a value, or unset it"
            )
    return env


def _check_set(env: Mapping[str, str], needs: str, *names: str) -> None:
    for name in names:
        if name not in env:
            raise _missing(f"{name} is", env, needs)


def _missing(what: str, env: Mapping[str, str], needs: str) -> ConfigurationError:
    return ConfigurationError(f"{what} missing from the environment, although {next(iter(env))} is set: set {needs}")


def _limit_from(env: Mapping[str, str], name: str, default: RateLimit) -> RateLimit:
    return RateLimit.parse(env[name], called=name) if name in env else default


def _omeda_from(env: Mapping[str, str], needs: str) -> OmedaSettings:
    name = env.get("OMEDA_ENVIRONMENT", "production").lower()
    if name not in OMEDA_HOSTS:
        raise ConfigurationError("OMEDA_ENVIRONMENT must be 'production' or 'staging'")
    _check_set(env, needs, "OMEDA_APP_ID")
    if "OMEDA_BRAND" not in env and "OMEDA_CLIENT" not in env:
        raise _missing("OMEDA_BRAND and OMEDA_CLIENT are both", env, needs)
    return OmedaSettings(
        app_id=env["OMEDA_APP_ID"],
        brand=env.get("OMEDA_BRAND"),
        client=env.get("OMEDA_CLIENT"),
        user_id=env.get("OMEDA_USER_ID"),
        environment=Environment(name),
        base_url=env.get("OMEDA_BASE_URL"),
        rate_limit=_limit_from(env, "OMEDA_RATE_LIMIT", OMEDA_COURTESY),
    )


def _ocamba_from(env: Mapping[str, str], needs: str) -> OcambaSettings:
    _check_set(env, needs, "OCAMBA_TOKEN")
    return OcambaSettings(
        token=env["OCAMBA_TOKEN"],
        base_url=env.get("OCAMBA_BASE_URL", OCAMBA_HOST),
        rate_limit=_limit_from(env, "OCAMBA_RATE_LIMIT", OCAMBA_CLASS_C),
    )


def _journey_manager_from(env: Mapping[str, str], needs: str) -> JourneyManagerSettings:
    auth: BasicAuth | BearerAuth
    if "JOURNEY_MANAGER_TOKEN" in env:
        auth = BearerAuth(env["JOURNEY_MANAGER_TOKEN"])
    else:
        _check_set(env, needs, "JOURNEY_MANAGER_USERNAME", "JOURNEY_MANAGER_PASSWORD")
        auth = BasicAuth(env["JOURNEY_MANAGER_USERNAME"], env["JOURNEY_MANAGER_PASSWORD"])
    _check_set(env, needs, "JOURNEY_MANAGER_BASE_URL")
    return JourneyManagerSettings(
        base_url=env["JOURNEY_MANAGER_BASE_URL"],
        auth=auth,
        rate_limit=_limit_from(env, "JOURNEY_MANAGER_RATE_LIMIT", JOURNEY_MANAGER_COURTESY),
    )


_MAKERS: dict[str, Callable[[Mapping[str, str], str], Any]] = {
    "omeda": _omeda_from,
    "ocamba": _ocamba_from,
    "journey_manager": _journey_manager_from,
}
