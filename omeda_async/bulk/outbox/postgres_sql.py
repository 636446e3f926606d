# ruff: noqa: S608 all that is put together is here
"""What is said to PostgreSQL about an outbox; every write about deliveries checks the fence by itself."""

from typing import Final

PUT: Final = """
WITH box AS (SELECT id FROM <schema>omeda_async_outboxes WHERE label = %(label)s),
new AS (
    INSERT INTO <schema>omeda_async_outbox_records (outbox, fingerprint, key, record)
    SELECT box.id, given.fingerprint, given.key, given.record
    FROM box, unnest(%(fingerprints)s::bytea[], %(keys)s::text[], %(records)s::text[])
        WITH ORDINALITY AS given (fingerprint, key, record, place)
    ORDER BY given.key NULLS FIRST, given.place ON CONFLICT DO NOTHING RETURNING id, key, fingerprint
), told AS (SELECT id, pg_notify(%(channel)s, 'put') FROM new)
SELECT new.id, new.key, new.fingerprint FROM box LEFT JOIN new ON true LEFT JOIN told ON told.id = new.id
ORDER BY new.id
"""
"""What puts records: of those that are new the numbers, keys and fingerprints; no row: no such outbox."""
SAME_KEYS: Final = """
SELECT there.id, there.key, there.fingerprint FROM <schema>omeda_async_outboxes AS box
LEFT JOIN <schema>omeda_async_outbox_records AS there
    ON there.outbox = box.id AND there.key = ANY(%(keys)s::text[]) AND there.state <> 2
WHERE box.label = %(label)s
"""
"""What finds records under way with such keys; the same rows."""
_FREE: Final = """
NOT (until > clock_timestamp() AND until <= clock_timestamp() + make_interval(secs => seconds + 1))
"""
"""Later than it can be, where the server's clock has been put back, it is free, too."""
LOOK: Final = f"""
SELECT count(*) > 0, coalesce(bool_and(NOT {_FREE}), false) FROM omeda_async_outboxes WHERE id = %(outbox)s
    AND label = %(label)s
"""
# What is about to be sent under a lower fence has to be taken back; looked for once the lock is held.
TAKE: Final = f"""
UPDATE omeda_async_outboxes SET fence = fence + 1, holder = %(holder)s, seconds = %(seconds)s,
    until = clock_timestamp() + make_interval(secs => %(seconds)s), attempt_before = attempt, attempt = %(attempt)s,
    held_until = NULL
WHERE id = %(outbox)s AND {_FREE} RETURNING fence;
UPDATE omeda_async_outbox_records AS r SET state = 0, doubt = true,
    due = greatest(due, clock_timestamp() + make_interval(secs => box.attempt_before))
FROM omeda_async_outboxes AS box
WHERE box.id = %(outbox)s AND r.outbox = box.id AND r.state = 1 AND r.fence < box.fence
"""
RENEW: Final = """
UPDATE omeda_async_outboxes SET until = clock_timestamp() + make_interval(secs => seconds),
    held_until = clock_timestamp() + make_interval(secs => nullif(%(held_for)s::float8, 0))
WHERE id = %(outbox)s AND fence = %(fence)s RETURNING id
"""
RELEASE: Final = """
UPDATE omeda_async_outboxes SET until = '-infinity', holder = '' WHERE id = %(outbox)s AND fence = %(fence)s;
UPDATE omeda_async_outbox_records AS r SET state = 0, doubt = true,
    due = greatest(due, clock_timestamp() + make_interval(secs => box.attempt))
FROM omeda_async_outboxes AS box
WHERE box.id = %(outbox)s AND box.fence = %(fence)s AND r.outbox = box.id AND r.state = 1;
SELECT pg_notify(%(channel)s, 'free') FROM omeda_async_outboxes WHERE id = %(outbox)s AND fence = %(fence)s
"""
NEXT: Final = """
SELECT extract(epoch FROM min(due) - clock_timestamp())::float8,
    (SELECT attempt FROM omeda_async_outboxes WHERE id = %(outbox)s)
FROM omeda_async_outbox_records WHERE outbox = %(outbox)s AND state = 0
"""
_TERM: Final = """
term AS MATERIALIZED (
    SELECT id, clock_timestamp() + make_interval(secs => greatest(attempt, %(longest)s) + 1) AS latest
    FROM omeda_async_outboxes WHERE id = %(outbox)s AND fence = %(fence)s AND until > clock_timestamp() FOR SHARE
)
"""
# The time is read once: read anew for each row, it would be no condition for an index. What is due later than it can
# be, where the server's clock has been put back, is due.
CLAIM: Final = f"""
WITH {_TERM}, next AS (
    (SELECT id, due, record FROM omeda_async_outbox_records
    WHERE outbox = %(outbox)s AND state = 0 AND due <= (SELECT clock_timestamp()) ORDER BY due, id LIMIT %(most)s)
    UNION ALL (SELECT id, due, record FROM omeda_async_outbox_records
    WHERE outbox = %(outbox)s AND state = 0 AND due > (SELECT latest FROM term) ORDER BY due, id LIMIT %(most)s)
), due AS (
    SELECT id, row_number() OVER sorted AS place, sum(octet_length(record)) OVER sorted AS bytes
    FROM next WINDOW sorted AS (ORDER BY due, id)
), claimed AS (
    UPDATE omeda_async_outbox_records AS r SET state = 1, fence = %(fence)s, claim = %(claim)s FROM term, due
    WHERE r.id = due.id AND r.state = 0
        AND due.place <= %(most)s AND (due.place = 1 OR due.bytes <= %(most_bytes)s)
    RETURNING r.*, due.place
)
SELECT claimed.id, key, record, attempts, tries, doubt,
    greatest(0, extract(epoch FROM clock_timestamp() - put))::float8 FROM term LEFT JOIN claimed ON true ORDER BY place
"""
CLAIMED: Final = f"""
WITH {_TERM}
SELECT r.id, key, record, attempts, tries, doubt, greatest(0, extract(epoch FROM clock_timestamp() - put))::float8
FROM term LEFT JOIN omeda_async_outbox_records AS r
    ON r.outbox = term.id AND state = 1 AND fence = %(fence)s AND claim = %(claim)s ORDER BY due, r.id
"""
END: Final = """
WITH term AS MATERIALIZED (
    SELECT id FROM omeda_async_outboxes WHERE id = %(outbox)s AND fence = %(fence)s FOR SHARE
), ended AS (
    UPDATE omeda_async_outbox_records AS r SET tries = given.tries, attempts = given.attempts, doubt = given.doubt,
        status = given.status, answer = given.answer,
        state = CASE WHEN again IS NULL THEN 2 ELSE 0 END,
        due = clock_timestamp() + make_interval(secs => coalesce(again, 0)),
        ended = CASE WHEN again IS NULL THEN clock_timestamp() END, told = again IS NULL AND given.told,
        record = CASE WHEN again IS NULL AND %(bare)s THEN NULL ELSE record END,
        key = CASE WHEN again IS NULL AND %(bare)s AND given.told THEN NULL ELSE key END
    FROM term, unnest(%(ids)s::bigint[], %(agains)s::float8[], %(tries)s::int[], %(attempts)s::int[],
        %(doubts)s::bool[], %(statuses)s::smallint[], %(answers)s::text[], %(tolds)s::bool[])
        AS given (id, again, tries, attempts, doubt, status, answer, told)
    WHERE r.id = given.id AND r.outbox = term.id AND r.state = 1 AND r.fence = %(fence)s RETURNING r.state
), over AS (SELECT count(*) AS number FROM ended WHERE state = 2)
SELECT number, (SELECT count(*) FROM (SELECT pg_notify(%(channel)s, 'ended') WHERE number > 0) AS told) FROM term, over
"""
_FOUND: Final = """
SELECT id, key, record, CASE WHEN state = 2 THEN status END, attempts, answer FROM omeda_async_outbox_records
WHERE outbox = %(outbox)s
"""
FIND: Final = f"{_FOUND} AND id = ANY(%(numbers)s::bigint[]) ORDER BY id"
UNTOLD: Final = f"{_FOUND} AND state = 2 AND NOT told ORDER BY id LIMIT %(most)s"
TOLD: Final = """
UPDATE omeda_async_outbox_records SET told = true, key = CASE WHEN %(bare)s THEN NULL ELSE key END
WHERE outbox = %(outbox)s AND state = 2 AND id = ANY(%(numbers)s::bigint[]) RETURNING id
"""
PRUNE: Final = """
DELETE FROM omeda_async_outbox_records WHERE id IN (
    SELECT id FROM omeda_async_outbox_records
    WHERE outbox = %(outbox)s AND state = 2 AND told
        AND ended < (SELECT clock_timestamp() - make_interval(secs => %(seconds)s))
    ORDER BY ended LIMIT %(most)s
) RETURNING id
"""


def channel_of(label: str) -> str:
    """Name what is notified when something happens to an outbox."""
    return f"omeda_async_outbox_{label}"
