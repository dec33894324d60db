"""A fleet of any size, written straight into the database: what pages show of thousands."""

import psycopg

_FLEET = """
WITH made AS (
    INSERT INTO devices (id, name, kind, ip, mac, hostname, tags, offline_after_s, maintenance,
        info, desired, tracing, trace_logs, log_listening, demo, created_at)
    SELECT gen_random_uuid(), %(prefix)s || lpad(n::text, 5, '0'),
        (ARRAY['simulated', 'axeos', 'mqtt'])[1 + n %% 3],
        '10.' || n / 65536 || '.' || n / 256 %% 256 || '.' || n %% 256,
        'c2:00:00:' || substr(lpad(to_hex(n), 6, '0'), 1, 2) || ':'
            || substr(lpad(to_hex(n), 6, '0'), 3, 2) || ':'
            || substr(lpad(to_hex(n), 6, '0'), 5, 2),
        'host-' || n, ARRAY['rack ' || n %% 40], 86400, n %% 50 = 0,
        jsonb_build_object('version', 'v2.' || n %% 16 || '.0', 'ASICModel', 'BM13' || 66 + n %% 5,
            'hostname', 'host-' || n, 'notes', repeat('x', 400)),
        '{}', false, false, false, false, now()
    FROM generate_series(1, %(size)s) AS n RETURNING id, name)
INSERT INTO presence (device_id, last_seen, online, missing, gaps, clock_off_ms)
SELECT id, now() - CASE WHEN name LIKE '%%7' THEN interval '2 days' ELSE interval '1 s' END,
    true, 0, '[]', 0 FROM made
"""


def fill(database_url: str, size: int, prefix: str = "bench-") -> None:
    """So many devices more, `bench-00001` …: a tenth offline, some in maintenance."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_FLEET, {"size": size, "prefix": prefix})
        connection.execute("ANALYZE devices, presence")  # as autovacuum does within a minute


def clear(database_url: str, prefix: str = "") -> None:
    """Devices whose names begin so are no longer in the bench."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE devices SET removed_at = now() WHERE removed_at IS NULL AND name ^@ %s",
            (prefix,),
        )
