"""Runs Arize Phoenix on a folder of its own and sends it OTLP bodies as fast as it takes them.

Usage: peers_phoenix.py SECONDS CONNECTIONS
"""

import http.client
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SPANS, BODIES, PATIENCE_S = 100, 40, 120
RANDOM = random.Random(7)
WORDS = [
    "".join(RANDOM.choice("aeioubcdfglmnprstv") for _ in range(RANDOM.randint(3, 10)))
    for _ in range(650)
]


def words(count: int) -> str:
    return " ".join(RANDOM.choice(WORDS) for _ in range(count))


def body() -> ExportTraceServiceRequest:
    """A model call and a tool call in turn, each call with what was said before it."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    history: list[str] = []
    for number in range(SPANS):
        span = spans.add()
        span.name = "generation" if number % 2 else "tool"
        span.start_time_unix_nano = time.time_ns()
        span.end_time_unix_nano = span.start_time_unix_nano + 400_000_000
        history = [] if number % 12 == 0 else history
        history.append(words(75))
        attributes = {
            "openinference.span.kind": "LLM" if number % 2 else "TOOL",
            "input.value": "\n".join(history) if number % 2 else words(20),
            "output.value": words(60),
        }
        if number % 2:
            attributes["llm.model_name"] = "gpt-5.2-mini"
        for key, value in attributes.items():
            attribute = span.attributes.add()
            attribute.key = key
            attribute.value.string_value = value
    return request


def send(port: int, books: list[int]) -> None:
    bodies = [body() for _ in range(BODIES // 4)]
    ready.wait()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    number = 0
    while time.monotonic() < until_box[0]:
        request = bodies[number % len(bodies)]
        number += 1
        trace = os.urandom(16)
        for span in request.resource_spans[0].scope_spans[0].spans:
            span.trace_id, span.span_id = trace, os.urandom(8)
        data = request.SerializeToString()
        connection.request("POST", "/v1/traces", data, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            books.append(len(data))
        else:
            refused.append(answer.status)
            time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def count(database: str) -> int:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60) as connection:
        return connection.execute("SELECT count(*) FROM spans").fetchone()[0]


ready = threading.Event()
until_box = [0.0]
refused: list[int] = []


def serve(folder: str, port: int) -> subprocess.Popen:
    environment = dict(os.environ, PHOENIX_WORKING_DIR=folder, PHOENIX_PORT=str(port))
    environment |= {"PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_HOST": "127.0.0.1"}
    environment |= {"PHOENIX_TELEMETRY_ENABLED": "false"}
    command = [sys.executable, "-m", "phoenix.server.main", "serve"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=environment, **quiet)
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server
        except OSError:
            time.sleep(0.5)
    server.kill()
    sys.exit("Phoenix does not start")


def main() -> None:
    seconds, connections = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = serve(folder, port)
        try:
            report(folder, port, seconds, connections)
        finally:
            server.terminate()
            server.wait()


def report(folder: str, port: int, seconds: int, connections: int) -> None:
    books: list[int] = []
    threads = [
        threading.Thread(target=send, args=(port, books), daemon=True)
        for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    time.sleep(5)
    begun = time.monotonic()
    until_box[0] = begun + seconds
    ready.set()
    for thread in threads:
        thread.join()
    accepted = time.monotonic() - begun
    sent, database = len(books) * SPANS, os.path.join(folder, "phoenix.db")
    at_end = count(database)
    while count(database) < sent and time.monotonic() - begun < seconds + PATIENCE_S:
        time.sleep(0.5)
    visible, there = time.monotonic() - begun, count(database)
    disk = sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names)
    if not there:
        sys.exit("Phoenix has no span")
    print(
        f"{sent / accepted:.0f} spans/s answered, {there / visible:.0f} spans/s until in its database "
        f"({there} of {sent} there {visible:.0f} s after the beginning, {at_end} when the last was answered); "
        f"{sum(books) / 1e3 / sent:.1f} KB a span sent, {disk / 1e3 / there:.2f} KB a span on disk; "
        f"{len(refused)} refused"
    )


main()
