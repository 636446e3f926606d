"""The commands."""

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from omeda_async import OutcomeStatus, __version__
from omeda_async.cli._help import Command, Group
from omeda_async.cli._options import bulk_command
from omeda_async.cli._order import (
    JOURNEY_MANAGER,
    OCAMBA,
    OMEDA_DEPLOYMENTS,
    OMEDA_OPT_OUTS,
    CaFile,
    Format,
    Make,
    Proxy,
)
from omeda_async.rows import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS, TRANSACTIONS

app = typer.Typer(
    name="omeda-async",
    cls=Group,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
    epilog="Settings come from the environment. Exit codes: 0 all done, 1 some record is not done, "
    "2 usage or configuration, 3 the journal failed on the way, 130 interrupted.",
)
Reason = Annotated[str | None, typer.Option(help="Why, where a row does not say.")]


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    """Submit irreversible things in bulk, and always know what happened to each one."""
    if show:
        typer.echo(f"omeda-async {__version__}")
        raise typer.Exit


@bulk_command(app, "opt-out", OPT_OUTS, OMEDA_OPT_OUTS, "submit")
def opt_out(
    max_entries: Annotated[int, typer.Option(min=1, help="Records in one request at the most.")] = 500,
    journal_pii: Annotated[
        str, typer.Option(metavar="keep|hash", help="hash keeps addresses out of the journal.")
    ] = "keep",
    allow_odd_addresses: Annotated[
        bool, typer.Option("--allow-odd-addresses", help="Send also addresses that nobody can have.")
    ] = False,
) -> Make:
    """Submit e-mail opt-outs to Omeda.

    Columns: email_address; brand_ids or deployment_type_ids (several ids are separated by | or a comma), without
    either the address is opted out of the whole client; level, source, promo_code, key.
    """
    return lambda manager, rows, options: manager.omeda.opt_outs.submit_many(
        rows,
        max_entries=max_entries,
        journal_pii=cast(Literal["keep", "hash"], journal_pii),  # the run says what it may be
        allow_odd_addresses=allow_odd_addresses,
        **options,
    )


@bulk_command(app, "cancel-deployments", DEPLOYMENTS, OMEDA_DEPLOYMENTS)
def cancel_deployments(
    user_id: Annotated[
        str | None, typer.Option(help="In whose name, where a row names nobody; by default OMEDA_USER_ID.")
    ] = None,
) -> Make:
    """Cancel e-mail deployments at Omeda.

    Columns: track_id, user_id, scheduled_for, key; or one track id a line.
    """
    return lambda manager, rows, options: manager.omeda.deployments.cancel_many(rows, user_id=user_id, **options)


@bulk_command(app, "cancel-campaigns", CAMPAIGNS, OCAMBA)
def cancel_campaigns(reason: Reason = None) -> Make:
    """Cancel campaigns at Ocamba, for good.

    Columns: campaign_id, reason, key; or one campaign id a line.
    """
    return lambda manager, rows, options: manager.ocamba.campaigns.cancel_many(rows, reason=reason, **options)


@bulk_command(app, "cancel-transactions", TRANSACTIONS, JOURNEY_MANAGER)
def cancel_transactions(
    reason: Reason = None,
    milestones: Annotated[str | None, typer.Option(help="A milestone to add, where a row names none.")] = None,
) -> Make:
    """Cancel (abandon) transactions at Journey Manager.

    Columns: submit_key, reason, milestones, key; or one submit key a line.
    """
    return lambda manager, rows, options: manager.journey_manager.transactions.cancel_many(
        rows, reason=reason, milestones=milestones, **options
    )


@app.command(cls=Command)
def status(  # noqa: PLR0917 its parameters become the command's
    journal: Annotated[
        str,
        typer.Argument(
            metavar="FILE.sqlite3",
            help="The journal of a run, a file or a PostgreSQL URL with ?run=NAME; or an outbox.",
        ),
    ],
    failed: Annotated[
        bool, typer.Option("--failed", help="Write the records that are not done as input again.")
    ] = False,
    only: Annotated[
        list[OutcomeStatus] | None, typer.Option(metavar="STATUS", help="With --failed: only these; repeatable.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With --failed: where to, - is standard output; .csv, .jsonl or .txt chooses the format.",
        ),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(metavar="RUN.html", help="Write a page with pictures of it there, too; it needs no network."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="A table, or one JSON document.")] = Format.TABLE,
) -> None:
    """Show what a journal or an outbox holds: counts, requests, times, causes."""
    from omeda_async.cli._status import show_status, write_failed  # noqa: PLC0415 only this command reads a journal

    if failed and report is not None:
        raise typer.BadParameter("it shows the whole journal: leave --failed out", param_hint="--report")
    if failed:
        write_failed(journal, only, output)
    elif only or output is not None:
        raise typer.BadParameter("they say which records --failed writes, and where to", param_hint="--only, --output")
    else:
        show_status(journal, form, report)


@app.command(cls=Command)
def worker(
    database: Annotated[
        str,
        typer.Argument(
            metavar="postgresql://…", help="The database with the queue and the journals, without ?run=NAME."
        ),
    ],
    *,
    concurrency: Annotated[int, typer.Option(min=1, help="Chunks of runs performed at a time.")] = 2,
    grace: Annotated[
        float,
        typer.Option(min=0.001, metavar="SECONDS", help="What requests under way have to end, once it is stopped."),
    ] = 20.0,
    once: Annotated[bool, typer.Option("--once", help="Exit when there is nothing to do now.")] = False,
    share_limits: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Where the limits are shared with other processes: by default in that database; a folder of this "
            "host, another URL, or 'alone' for a worker that nobody else sends beside.",
        ),
    ] = None,
    proxy: Proxy = None,
    ca_file: CaFile = None,
) -> None:
    """Send what bulk commands have enqueued, until interrupted; on as many hosts as you like.

    Settings come from the environment. Interrupted, it lets requests under way end, and leaves the rest to others.
    """
    from omeda_async.cli._worker import Way, work  # noqa: PLC0415 only this command works on a queue

    way = Way(share_limits=share_limits, proxy=proxy, ca_file=ca_file)
    work(database, way, concurrency=concurrency, grace=grace, once=once)


@app.command("cancel-run", cls=Command)
def cancel_run(
    journal: Annotated[
        str, typer.Argument(metavar="postgresql://…?run=NAME", help="The journal of a run that was enqueued.")
    ],
) -> None:
    """Cancel a run that was enqueued: nothing new of it is sent, by any worker.

    What is under way may end. The bulk command with --enqueue --reopen goes on with it.
    """
    from omeda_async.cli._worker import cancel  # noqa: PLC0415 the same

    cancel(journal)


@app.command(cls=Command)
def demo(
    journal: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Keep the journals there until all is done; stopped or killed halfway, the same command goes on.",
        ),
    ] = Path("omeda-async-demo"),
) -> None:
    """Show the whole thing against the built-in sandbox; nothing leaves this machine."""
    from omeda_async.cli._demo import show_demo  # noqa: PLC0415 only this command runs the demo and its sandbox

    show_demo(journal)


@app.command(cls=Command)
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAULT",
            help="What goes wrong, such as 'drop,after,times=3'; repeatable.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random in it.")] = 0,
    latency: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Of each way.")] = 0.0,
    demo_data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Seed it with the demo's records, and write them as files there."),
    ] = None,
) -> None:
    """Emulate the three providers on 127.0.0.1 until interrupted."""
    from omeda_async.cli._sandbox import run_sandbox  # noqa: PLC0415 only this command runs a server

    run_sandbox(port=port, faults=fault or [], seed=seed, latency=latency, demo_data=demo_data)
