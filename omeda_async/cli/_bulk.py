"""What the bulk commands have in common: connect, then plan, or confirm and send."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import attrs
import typer

from omeda_async import ConfigurationError, Plan, RateLimit
from omeda_async._environment import NEEDS, settings_from_env
from omeda_async.cli._files import check_output, check_report
from omeda_async.cli._input import opened
from omeda_async.cli._order import Asked, Format, Order, check_extra
from omeda_async.cli._outcomes import as_dict
from omeda_async.cli._report import CUT, levels_in_words, show_plan
from omeda_async.cli._screen import Exit, complaints, counted, fitting, notes, print_json, results, say
from omeda_async.cli._words import in_command
from omeda_async.limits import check_place, check_where
from omeda_async.rows import RowFile

_ALONE = (
    "The time is estimated with the whole limit to itself: a plan does not ask those with whom it is shared, and a "
    "store that is used for the first time lets nothing go for a while"
)
"""What a plan says where limits are shared."""

_OTHER_FORMATS: Final = frozenset({".xlsx", ".xls", ".ods", ".tsv", ".gz", ".zip", ".html", ".pdf"})
"""How names end that promise something else than results are written as."""


def perform(order: Order) -> None:
    """Do what was asked for, and exit with the code that says how it went."""
    with complaints(), opened(order.kind, order.asked) as rows:
        _check_outputs(order.asked)
        _check_enqueued(order.asked)
        order = _with_settings(order)
        _check_user(order, rows)
        if rows.comments and not order.asked.plan:
            say(notes(), f"{counted(rows.comments, 'comment line')} left out (they begin with #).")
        if not (order.asked.plan and order.asked.format is Format.JSON):
            for note in rows.notes:
                say(notes(), f"{in_command(note)}.", "yellow")
        if rows.is_cut and not order.asked.plan:  # a plan has it in its own place
            say(notes(), CUT, "yellow")
        if order.asked.plan:
            code = _plan(order, rows)
        elif order.asked.yes or _confirmed(order, rows):
            code = _perform(order, rows)
        else:
            say(notes(), "Nothing was sent.", "bold")
            code = Exit.NOT_ALL_DONE
    raise typer.Exit(code)


def _perform(order: Order, rows: RowFile) -> Exit:
    if order.asked.enqueue:
        from omeda_async.cli._enqueue import enqueue  # noqa: PLC0415 it needs an extra

        return enqueue(order, rows)
    from omeda_async.cli._sending import send  # noqa: PLC0415 a plan needs no bars and no results

    return send(order, rows)


def _check_enqueued(asked: Asked) -> None:
    if not asked.enqueue:
        for name, given in (("--priority", asked.priority), ("--reopen", asked.reopen)):
            if given:
                raise ConfigurationError(f"{name} is for what is enqueued: give --enqueue, or leave it out")
        return
    check_extra()
    if asked.journal is None or "://" not in asked.journal:
        raise ConfigurationError(
            "--enqueue needs a journal that workers can reach: --journal 'postgresql://host/database?run=NAME'"
        )
    for name in ("output", "report", "deadline", "rate", "share_limits", "proxy", "ca_file"):
        if getattr(asked, name) is not None:
            raise ConfigurationError(
                f"--{name.replace('_', '-')} is for who sends, and with --enqueue workers do: leave it out"
            )


def _check_outputs(asked: Asked) -> None:
    if asked.plan and asked.output is not None:
        raise ConfigurationError(
            "--plan sends nothing, so that there are no results for --output: leave one of them out; "
            "--format json gives the whole plan"
        )
    if asked.plan and asked.report is not None:
        raise ConfigurationError("--plan sends nothing, so that there is no run for --report: leave one of them out")
    if asked.output == "-":
        raise ConfigurationError("--output - would mix the results with the summary on standard output: give a file")
    ending = Path(asked.output or "").suffix.lower()
    if ending in _OTHER_FORMATS:
        raise ConfigurationError(f"--output writes JSON Lines or .csv, and no {ending}: give a name that ends so")
    check_output(asked.output, file=asked.file, journal=asked.journal)
    check_report(asked.report, file=asked.file, journal=asked.journal, output=asked.output)


def _with_settings(order: Order) -> Order:
    """Return the order with the settings of the provider, and what else the environment adds to it."""
    provider, asked = order.provider, order.asked
    check_where(asked.share_limits, "--share-limits")
    needs = provider.needs or NEEDS[provider.setting]
    found = settings_from_env(only=provider.setting, needs=needs)
    settings = getattr(found, provider.setting)
    if settings is None:
        raise ConfigurationError(f"{provider.name} is not configured: set {needs}")
    if asked.rate is not None:
        settings = attrs.evolve(settings, rate_limit=RateLimit.parse(asked.rate, called="--rate"))
    called = "--share-limits"
    if asked.share_limits is None:
        asked, called = attrs.evolve(asked, share_limits=found.share_limits), "OMEDA_ASYNC_SHARE_LIMITS"
    if asked.share_limits is not None:
        check_place(asked.share_limits, called)
    return attrs.evolve(order, asked=asked, settings=settings)


def _check_user(order: Order, rows: RowFile) -> None:
    """Refuse what is done in a user's name where neither the command nor the file names one."""
    if "user_id" not in order.kind.fields:
        return
    if not (order.own.get("user_id") or order.settings.user_id or rows.has("user_id")):
        raise ConfigurationError(
            f"{order.title} is done in somebody's name: set OMEDA_USER_ID, give --user-id, "
            f"or add a {'field' if rows.format in {'jsonl', 'json'} else 'column'} user_id to the file"
        )


def _planned(order: Order, rows: RowFile) -> Plan:
    # Nothing is sent, so that the manager is not entered: that would load an HTTP client.
    return asyncio.run(order.run(order.manager(), rows).plan())


def _plan(order: Order, rows: RowFile) -> Exit:
    plan, levels = _planned(order, rows), rows.levels()
    if order.asked.format is Format.JSON:
        found = attrs.asdict(plan, recurse=False)
        found["refused"] = [as_dict(outcome) for outcome in plan.refused]
        found["late"] = [as_dict(outcome) for outcome in plan.late]
        found["refused_left_out"] = plan.refused_total - len(plan.refused)
        found["last_row_without_line_end"] = rows.is_cut
        if levels:
            found["levels"] = {level or "unknown": count for level, count in levels.items()}
        if rows.comments:
            found["comments"] = rows.comments
        if told := (*map(in_command, rows.notes), *_notes_of(order)):
            found["notes"] = told
        print_json({"plan": order.title, **order.where, **found})
    else:
        title = f"{order.title} {order.whereabouts}"
        show_plan(results(), plan, title, levels, comments=rows.comments, is_cut=rows.is_cut)
        for note in _notes_of(order):
            say(notes(), f"{note}.", "dim")
    return Exit.NOT_ALL_DONE if plan.refused_total else Exit.DONE


def _notes_of(order: Order) -> tuple[str, ...]:
    if order.asked.share_limits is None:
        return ()
    return (_ALONE,)


def someone_there() -> bool:
    """Whether there is somebody who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _confirmed(order: Order, rows: RowFile) -> bool:
    if order.asked.file == "-" or not someone_there():
        raise ConfigurationError("this cannot be undone and there is nobody to ask: give --yes, or see --plan first")
    plan = _planned(order, rows)
    what = counted(plan.records, "record")
    if levels := levels_in_words(rows.levels()):
        what += f" ({', '.join(f'{count:,} {level}' for level, count in levels.items())})"
    if plan.refused_total:
        what += f", {plan.refused_total:,} of which cannot be sent"
    if plan.settled:
        what += f", {plan.settled:,} of which an earlier run has settled"
    try:
        question = fitting(notes(), f"{order.title}: {what}, {order.whereabouts}. This cannot be undone. Go on? [y/N]:")
        return typer.confirm(question, show_default=False, prompt_suffix=" ", err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None
