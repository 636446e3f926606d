"""The bulk commands, from a file to the sandbox and back."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from omeda_async.sandbox import Fault
from tests.cli.cli_scene import Scene


def test_opt_outs_of_a_file_arrive_and_bad_rows_are_named(scene: Scene) -> None:
    """Good rows are applied, each bad one has its row, its column and the provider's words, and the exit is 1."""
    text = "Email,BrandId\na@x.com,XXG\nnobody,XXG\nb@x.com,ZZZ\nc@x.com,XXH|QQQ\n\nd@x.com,\n"
    output = scene.directory / "out.jsonl"
    result = scene.give("opt-out", scene.file("in.csv", text), "--yes", "--output", output)
    assert result.exit_code == 1
    assert scene.sandbox.omeda.opt_outs.applied() == {("brand", "a@x.com", "XXG"), ("brand", "c@x.com", "XXH")}
    by_row = {line["row"]: line for line in scene.lines(output)}
    assert {row: line["status"] for row, line in by_row.items()} == {
        2: "done",
        3: "rejected",
        4: "rejected",
        5: "partly_done",
        7: "rejected",
    }
    assert by_row[3]["error"] == "InvalidRecord"
    assert by_row[3]["message"].startswith("column Email:")
    assert by_row[7]["message"].startswith("column BrandId: is empty")
    assert by_row[4]["refused_ids"] == ["ZZZ"]
    assert "row 4: rejected: BrandOptOut submission (ZZZ)" in result.stdout
    assert "b@x.com" not in result.output + output.read_text()


@pytest.mark.parametrize(
    ("command", "target"), [("cancel-campaigns", "c"), ("cancel-deployments", "d"), ("cancel-transactions", "t")]
)
def test_each_cancel_reaches_its_provider(scene: Scene, command: str, target: str) -> None:
    """Ids of a plain list, on standard input, are cancelled, and all done is exit 0."""
    scene.sandbox.ocamba.seed_campaign("c")
    scene.sandbox.omeda.seed_deployment("d")
    scene.sandbox.journey_manager.seed_transaction("t")
    result = scene.give(command, "-", "--yes", stdin=f"{target}\n".encode())
    assert result.exit_code == 0, result.output
    states = {
        "c": scene.sandbox.ocamba.campaigns["c"].status == "canceled",
        "d": scene.sandbox.omeda.deployments["d"].status == "Cancelled",
        "t": scene.sandbox.journey_manager.transactions["t"].form_status == "Abandoned",
    }
    assert {name for name, is_cancelled in states.items() if is_cancelled} == {target}


def test_options_fill_in_what_a_row_does_not_say(scene: Scene) -> None:
    """Reason and milestone of the command line hold for rows without their own."""
    for key in ("t1", "t2"):
        scene.sandbox.journey_manager.seed_transaction(key)
    file = scene.file("in.csv", "submit_key,reason\nt1,own\nt2,\n")
    result = scene.give("cancel-transactions", file, "--yes", "--reason", "ours", "--milestones", "M")
    assert result.exit_code == 0, result.output
    found = scene.sandbox.journey_manager.transactions
    assert [(found[key].reason, found[key].milestones) for key in ("t1", "t2")] == [("own", ["M"]), ("ours", ["M"])]


def test_without_yes_and_without_a_terminal_nothing_is_sent(scene: Scene) -> None:
    """Where nobody can be asked, an irreversible command is refused as a usage error."""
    result = scene.give("cancel-campaigns", scene.file("in.txt", "1\n"))
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert scene.sandbox.requests == []


@pytest.mark.parametrize(("answer", "code", "sent"), [("y", 0, 1), ("n", 1, 0), ("", 130, 0)])
def test_on_a_terminal_it_asks_first(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, sent: int
) -> None:
    """The question says what, how many and where; only a yes sends anything."""
    monkeypatch.setattr("omeda_async.cli._bulk.someone_there", lambda: True)
    scene.sandbox.ocamba.seed_campaign("1")
    result = scene.give(
        "cancel-campaigns", scene.file("in.txt", "1\n"), stdin=f"{answer}\n".encode() if answer else b""
    )
    assert result.exit_code == code
    question = f"Cancel campaigns: 1 record, at Ocamba (127.0.0.1:{scene.sandbox.port}). This cannot be undone. Go on?"
    assert question in result.stderr
    assert len(scene.sandbox.requests) == sent


def test_a_plan_sends_nothing_and_counts_everything(scene: Scene) -> None:
    """Requests, repeats and rows that cannot be sent are found out without a request; such rows make it exit 1."""
    file = scene.file("in.csv", "email,brand_ids\na@x.com,XXG\na@x.com,XXG\nnobody,XXG\n")
    result = scene.give("opt-out", file, "--plan", "--format", "json")
    plan = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (plan["records"], plan["requests"], plan["duplicates"]) == (3, 1, 1)
    assert [(one["row"], one["status"]) for one in plan["refused"]] == [(4, "rejected")]
    table = scene.give("opt-out", file, "--plan")
    assert "row 4: rejected: column email" in table.stdout
    sums = dict(line.rsplit(maxsplit=1) for line in map(str.strip, table.stdout.splitlines()) if line[-1:].isdigit())
    parts = ("repeats of an earlier record", "cannot be sent", "to be sent")
    assert (int(sums["records"]), [int(sums[part]) for part in parts]) == (3, [1, 1, 1])
    assert "Nothing was sent." in table.stdout
    assert scene.sandbox.requests == []


def test_json_is_one_document_and_nothing_else_on_stdout(scene: Scene) -> None:
    """Counts, failures and where it went, with addresses masked even in keys."""
    file = scene.file("in.csv", "email,brand_ids,key\na@x.com,XXG,k1\nb@x.com,ZZZ,b@x.com\n")
    result = scene.give("opt-out", file, "--yes", "--format", "json")
    found = json.loads(result.stdout)
    assert found["counts"] == {"done": 1, "rejected": 1}
    assert found["total"] == 2
    assert found["complete"] is True
    assert found["failures"][0]["key"] == "b***@x.com"
    assert found["failures_left_out"] == 0
    assert "b@x.com" not in result.output


def unlike(count: int) -> str:
    """Return a file of rows that are refused for a reason of their own each."""
    return "email,deployment_type_ids,key\n" + "".join(f"a{i}@x.com,x{i},k{i}\n" for i in range(count))


def test_many_failures_are_cut_and_counted(scene: Scene) -> None:
    """Of thirty rows that fail for thirty reasons, twenty are shown, and how many more there are."""
    result = scene.give("opt-out", scene.file("in.csv", unlike(30)), "--yes")
    shown = [line for line in result.stdout.splitlines() if line.startswith("row ")]
    assert [line.split(":")[0] for line in shown] == [f"row {i} (k{i - 2})" for i in range(2, 22)]
    assert "and 10 more" in result.stdout


def test_failures_that_are_alike_are_one_line(scene: Scene) -> None:
    """It says how many there are, why, and which rows; one that is like no other has a line as ever."""
    ids = [f"k{i}" for i in range(30)]
    ids[7] = "1.0E+06"
    result = scene.give("cancel-transactions", scene.file("in.txt", "\n".join(ids)), "--yes")
    lines = [line for line in result.stdout.splitlines() if "rejected:" in line]
    assert len(lines) == 2
    assert lines[0].startswith("29 records: rejected: ")
    assert lines[0].endswith("(rows 1-7, 9-30)")
    assert lines[1].startswith("row 8")
    assert "rejected: field submit_key: is a number with an exponent" in lines[1]
    assert "more" not in result.stdout


def test_a_cause_that_meets_everyone_is_said_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a wrong token the run stops, and the records that were not sent are counted, not listed."""
    monkeypatch.setenv("OCAMBA_TOKEN", "wrong")
    result = scene.give("cancel-campaigns", scene.file("in.txt", "".join(f"{i}\n" for i in range(50))), "--yes")
    assert result.exit_code == 1
    assert "Stopped before the end: ocamba: The access token is not valid." in result.stdout
    assert "not sent: " not in result.stdout
    assert "wrong" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cancel-campaigns", "none.csv", "--yes"], "No such file"),
        (
            ["cancel-campaigns", "ids.txt", "--yes", "--output", "-"],
            "--output - would mix the results with the summary",
        ),
        (["cancel-campaigns", "in2.csv", "--yes"], "--ignore-column NAME"),
        (["cancel-campaigns", "in.csv", "--yes"], "no usable column"),
        (["cancel-campaigns", "ids.txt", "--yes", "--output", "none/out"], "cannot be written"),
        (["opt-out", "emails.csv", "--yes", "--journal-pii", "some"], "--journal-pii must be"),
        (["cancel-campaigns", "ids.txt", "--format", "xml"], "--format"),
        (["cancel-campaigns", "ids.txt", "--concurrency", "0"], "--concurrency"),
        (["cancel-campaigns"], "FILE"),
    ],
)
def test_wrong_use_is_exit_2_with_a_sentence(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """Files, options and columns that will not do are named, without a traceback and without a request."""
    monkeypatch.chdir(scene.directory)
    scene.file("in.csv", "a,b\n1,2\n")
    scene.file("in2.csv", "id,b\n1,2\n")
    scene.file("ids.txt", "1\n")
    scene.file("emails.csv", "email\na@x.com\n")
    result = scene.give(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert scene.sandbox.requests == []


def test_a_missing_setting_is_exit_2_and_named(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command whose provider is not configured says which variable to set."""
    for name in ("OCAMBA_TOKEN", "OCAMBA_BASE_URL"):
        monkeypatch.delenv(name)
    result = scene.give("cancel-campaigns", scene.file("in.txt", "1\n"), "--yes")
    assert result.exit_code == 2
    assert "Ocamba is not configured: set OCAMBA_TOKEN" in result.stderr


def test_with_nothing_set_a_command_names_what_it_needs_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the other providers are no way out, and are not offered."""
    for name in [name for name in os.environ if name.startswith(("OMEDA_", "OCAMBA_", "JOURNEY_MANAGER_"))]:
        monkeypatch.delenv(name)
    result = scene.give("cancel-campaigns", scene.file("in.txt", "1\n"), "--yes")
    assert result.exit_code == 2
    assert "set OCAMBA_TOKEN" in result.stderr
    assert "OMEDA_APP_ID" not in result.stderr


def test_what_is_wrong_with_another_provider_is_no_matter(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opt-outs go to Omeda, whatever the variables of Ocamba and Journey Manager are."""
    monkeypatch.setenv("OCAMBA_BASE_URL", "nonsense")
    monkeypatch.delenv("JOURNEY_MANAGER_PASSWORD")
    result = scene.give("opt-out", scene.file("in.csv", "email\na@example.com\n"), "--yes")
    assert result.exit_code == 0, result.output


def test_a_pipe_can_be_the_file(scene: Scene) -> None:
    """A named pipe is read to its end first, as it can be read once only."""
    pipe = scene.directory / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"1\n2\n",))
    writer.start()
    result = scene.give("cancel-campaigns", pipe, "--plan", "--format", "json")
    writer.join()
    assert json.loads(result.stdout)["records"] == 2


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def hundred_campaigns(scene: Scene) -> Path:
    ids = [str(number) for number in range(100)]
    scene.sandbox.ocamba.seed_campaigns(ids)
    return scene.file("in.txt", "\n".join(ids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_stops_in_order_and_accounts_for_every_row(scene: Scene, number: int) -> None:
    """What is on its way ends, nothing new is sent, every row has its line, and the exit is 130."""
    scene.timers.append((2.5, lambda: os.kill(os.getpid(), number)))
    output = scene.directory / "out.jsonl"
    file = hundred_campaigns(scene)
    result = scene.give("cancel-campaigns", file, "--yes", "--reason", "x", "--output", output)
    assert result.exit_code == 130, result.output
    lines = scene.lines(output)
    assert sorted(line["row"] for line in lines) == list(range(1, 101))
    done = {str(line["row"] - 1) for line in lines if line["status"] == "done"}
    assert 10 <= len(done) < 100
    assert {line["status"] for line in lines} == {"done", "not_sent"}
    campaigns = scene.sandbox.ocamba.campaigns.values()
    assert {one.id for one in campaigns if one.status == "canceled"} == done
    assert "Again to stop at once" in result.stderr
    assert "With --journal" in result.stderr
    assert "not sent: " not in result.stdout
    assert "more; " not in result.stdout


def test_the_rest_of_the_failures_is_where_the_results_were_written(scene: Scene) -> None:
    """With --output the file is named; without, the option is."""
    file, output = scene.file("in.csv", unlike(30)), scene.directory / "out.jsonl"
    result = scene.give("opt-out", file, "--yes", "--output", output)
    assert f"and 10 more; {output} has them all" in result.stdout
    assert "and 10 more; --output FILE has them all" in scene.give("opt-out", file, "--yes").stdout


def test_a_second_signal_stops_at_once_and_the_sums_still_hold(scene: Scene) -> None:
    """Attempts not awaited any more are unknown, the rest is not sent, and the total is that of the file."""
    scene.sandbox.fault(Fault("slow", "after", times=None, seconds=20.0))
    scene.timers += [(0.5, interrupt), (1.0, interrupt)]
    result = scene.give("cancel-campaigns", hundred_campaigns(scene), "--yes", "--format", "json")
    assert result.exit_code == 130, result.output
    found = json.loads(result.stdout)
    assert found["interrupted"] is True
    assert found["total"] == sum(found["counts"].values()) == 100
    assert found["counts"].keys() == {"unknown", "not_sent"}
    assert found["seconds"] < 5


def test_a_deadline_stops_the_run_and_says_so(scene: Scene) -> None:
    """What is left when the time is up is not sent, and the exit is 1, as nobody interrupted it."""
    result = scene.give("cancel-campaigns", hundred_campaigns(scene), "--yes", "--deadline", "3", "--format", "json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert "deadline" in found["stopped_by"]
    assert found["total"] == 100


def test_results_that_cannot_be_written_stop_the_run(scene: Scene) -> None:
    """A full disk under --output ends the run in order, with a word about it."""
    scene.sandbox.ocamba.seed_campaign("1")
    result = scene.give("cancel-campaigns", scene.file("in.txt", "1\n"), "--yes", "--output", "/dev/full")
    assert result.exit_code == 1
    assert "/dev/full cannot be written: No space left" in result.stderr


def test_outcomes_that_could_not_be_written_are_still_to_be_had(scene: Scene) -> None:
    """What was settled is not called stopped; it is said where the outcomes are, and the same command gives them."""
    journal, output = scene.directory / "run.sqlite3", scene.directory / "out.jsonl"
    command: list[str | Path] = [
        "opt-out",
        scene.file("in.csv", "email\na@x.com\nb@x.com\n"),
        "--yes",
        "--journal",
        journal,
    ]
    result = scene.give(*command, "--output", "/dev/full")
    assert result.exit_code == 1
    assert "done 2" in " ".join(result.stdout.split())
    assert "Stopped" not in result.output
    assert "Error: /dev/full cannot be written: No space left on device. What is settled is counted" in result.stderr
    assert "the same command with another --output writes all, and sends nothing twice" in result.stderr
    assert result.stderr.endswith(f"  omeda-async status {journal}\n")
    assert scene.give("status", journal).exit_code == 0
    sent = len(scene.sandbox.requests)
    assert scene.give(*command, "--output", output).exit_code == 0
    assert [line["status"] for line in scene.lines(output)] == ["done", "done"]
    assert len(scene.sandbox.requests) == sent


def test_a_run_that_an_output_stops_accounts_for_every_row(scene: Scene) -> None:
    """What was not sent is in the summary and the journal, and the document says why."""
    journal = scene.directory / "run.sqlite3"
    file = hundred_campaigns(scene)
    options = ["--yes", "--output", "/dev/full", "--format", "json"]
    result = scene.give("cancel-campaigns", file, *options, "--journal", journal)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["total"], found["counts"].keys()) == (1, 100, {"done", "not_sent"})
    assert found["stopped_by"] == found["failure"] == "/dev/full cannot be written: No space left on device"
    assert "nothing new is sent" in result.stderr
    assert json.loads(scene.give("status", journal, "--format", "json").stdout)["total"] == 100
    result = scene.give("cancel-campaigns", file, *options)
    assert "There is no journal (--journal) that has them, and the same command would send all again" in result.stderr


@pytest.mark.parametrize("output", ["in.csv", "link.csv", "run.sqlite3", "run.sqlite3-lock"])
def test_results_are_not_written_over_what_is_read(scene: Scene, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """Input and journal are refused as the output, also where they do not exist yet; nothing is sent or changed."""
    monkeypatch.chdir(scene.directory)
    file = scene.file("in.csv", "campaign_id\n1\n")
    (scene.directory / "link.csv").symlink_to(file)
    result = scene.give("cancel-campaigns", "in.csv", "--yes", "--journal", "run.sqlite3", "--output", output)
    assert result.exit_code == 2
    assert "which it would overwrite" in result.stderr
    assert file.read_text() == "campaign_id\n1\n"
    assert not (scene.directory / "run.sqlite3").exists()
    assert scene.sandbox.requests == []


@pytest.mark.parametrize("output", ["results.xlsx", "results.TSV", "results.csv.gz"])
def test_results_are_not_written_under_the_name_of_another_format(scene: Scene, output: str) -> None:
    """A spreadsheet would not open them; the input is not sent for that."""
    result = scene.give("cancel-campaigns", scene.file("in.txt", "1\n"), "--yes", "--output", scene.directory / output)
    assert result.exit_code == 2
    assert "--output writes JSON Lines or .csv, and no ." in result.stderr
    assert scene.sandbox.requests == []
    assert not (scene.directory / output).exists()


def test_earlier_results_stay_when_a_run_is_refused(scene: Scene) -> None:
    """A journal of another run is found out before the file is emptied; the run that begins replaces what it holds."""
    scene.sandbox.ocamba.seed_campaign("1")
    file, journal, output = scene.file("in.txt", "1\n"), scene.directory / "run.sqlite3", scene.file("out", "old\n")
    command = ("cancel-campaigns", file, "--yes", "--journal", journal, "--output", output)
    assert scene.give(*command, "--reason", "a").exit_code == 0
    assert [line["status"] for line in scene.lines(output)] == ["done"]
    written = output.read_text()
    assert scene.give(*command, "--reason", "b").exit_code == 2
    assert output.read_text() == written


def test_earlier_results_stay_when_the_file_holds_no_records(scene: Scene) -> None:
    """A header alone is refused before the output is touched."""
    output = scene.file("out", "old\n")
    assert scene.give("cancel-campaigns", scene.file("in.csv", "id\n"), "--yes", "--output", output).exit_code == 2
    assert output.read_text() == "old\n"
