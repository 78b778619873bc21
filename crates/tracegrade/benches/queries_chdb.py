"""Loads the spans of a store's files into a ClickHouse table and times one query.

Usage: queries_chdb.py FOLDER SPANS QUERY
"""

import statistics
import sys
import tempfile
import time

from chdb.session import Session

COLUMNS = "trace_id, span_id, type, name, started_at, duration_ms, status, model, input_tokens, output_tokens"


def main() -> None:
    folder, spans, query = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    with tempfile.TemporaryDirectory() as place:
        session = Session(place)
        begun = time.monotonic()
        session.query("CREATE DATABASE bench ENGINE = Atomic")
        session.query(
            "CREATE TABLE bench.spans ENGINE = MergeTree ORDER BY (trace_id, span_id) AS "
            f"SELECT {COLUMNS} FROM file('{folder}/**/*.parquet', Parquet)"
        )
        loaded = time.monotonic() - begun
        rows = int(str(session.query("SELECT count() FROM bench.spans", "CSV")))
        if rows != spans:
            sys.exit(f"{rows} rows in ClickHouse, {spans} in the store")
        query = query.replace("from spans", "from bench.spans")
        times = []
        for _ in range(7):
            begun = time.monotonic()
            session.query(query, "CSV")
            times.append((time.monotonic() - begun) * 1e3)
        print(
            f"median {statistics.median(times):.0f} ms (first {times[0]:.0f} ms; "
            f"{rows} rows loaded in {loaded:.0f} s)"
        )


main()
