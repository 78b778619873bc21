"""Spans as Phoenix's REST API gives them back: a Phoenix server on this machine is sent spans over OTLP and asked for them.
Usage: phoenix_gen.py OUT_DIR"""
import json, sys, os, tempfile, subprocess, time, urllib.request, socket
out = sys.argv[1]
def free():
    s = socket.socket(); s.bind(("127.0.0.1", 0)); p = s.getsockname()[1]; s.close(); return p
port, grpc = free(), free()
env = dict(os.environ, PHOENIX_PORT=str(port), PHOENIX_GRPC_PORT=str(grpc), PHOENIX_HOST="127.0.0.1", PHOENIX_WORKING_DIR=tempfile.mkdtemp(), PHOENIX_TELEMETRY_ENABLED="false")
p = subprocess.Popen([os.path.dirname(sys.executable) + "/phoenix", "serve"], env=env, stdout=open(out + "/../phoenix.log", "w"), stderr=subprocess.STDOUT)
url = f"http://127.0.0.1:{port}"
try:
    for _ in range(240):
        try: urllib.request.urlopen(url + "/healthz", timeout=2); break
        except Exception: time.sleep(0.5)
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry import trace
    tp = TracerProvider(); tp.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(url + "/v1/traces"))); tr = tp.get_tracer("refunds")
    with tr.start_as_current_span("refund_agent") as a:
        a.set_attribute("openinference.span.kind", "AGENT"); a.set_attribute("agent.name", "refunds"); a.set_attribute("session.id", "s-1"); a.set_attribute("user.id", "u-7")
        a.set_attribute("input.value", "Can I have my money back for A-17?"); a.set_attribute("output.value", "Your order is too old.")
        a.set_attribute("metadata", json.dumps({"plan": "pro"})); a.set_attribute("tag.tags", ["vip"])
        with tr.start_as_current_span("lookup_order") as t:
            t.set_attribute("openinference.span.kind", "TOOL"); t.set_attribute("tool.name", "lookup_order"); t.set_attribute("input.value", '{"order_id": "A-17"}'); t.set_attribute("input.mime_type", "application/json"); t.set_attribute("output.value", "delivered")
        with tr.start_as_current_span("refund") as t:
            t.set_attribute("openinference.span.kind", "TOOL"); t.set_attribute("tool.name", "refund"); t.set_attribute("input.value", '{"order_id": "A-17"}')
            t.record_exception(ValueError("order is too old")); t.set_status(trace.Status(trace.StatusCode.ERROR, "order is too old"))
        with tr.start_as_current_span("ChatCompletion") as c:
            c.set_attribute("openinference.span.kind", "LLM"); c.set_attribute("llm.model_name", "gpt-4o-mini-2024-07-18"); c.set_attribute("llm.provider", "openai")
            c.set_attribute("llm.input_messages.0.message.role", "system"); c.set_attribute("llm.input_messages.0.message.content", "You help with refunds.")
            c.set_attribute("llm.input_messages.1.message.role", "user"); c.set_attribute("llm.input_messages.1.message.content", "Can I have my money back for A-17?")
            c.set_attribute("llm.output_messages.0.message.role", "assistant"); c.set_attribute("llm.output_messages.0.message.content", "Your order is too old.")
            c.set_attribute("llm.token_count.prompt", 31); c.set_attribute("llm.token_count.completion", 12); c.set_attribute("llm.token_count.total", 43)
            c.set_attribute("llm.invocation_parameters", json.dumps({"model": "gpt-4o-mini", "temperature": 0}))
    tp.shutdown(); time.sleep(4)
    d = json.load(urllib.request.urlopen(url + "/v1/projects/default/spans?limit=100"))
    json.dump(d, open(out + "/rest.json", "w"))
    with open(out + "/spans.jsonl", "w") as f:
        for s in d["data"]: f.write(json.dumps(s) + "\n")
    o = json.load(urllib.request.urlopen(url + "/v1/projects/default/spans/otlpv1?limit=100")); json.dump(o, open(out + "/otlpv1.json", "w"))
    print(len(d["data"]), json.dumps(d["data"][0])[:600]); print(json.dumps(o)[:300])
    from phoenix.client import Client
    df = Client(base_url=url).spans.get_spans_dataframe(project_identifier="default")
    open(out + "/dataframe.jsonl", "w").write(df.to_json(orient="records", lines=True, date_format="iso"))
    print(df.reset_index().iloc[0].to_json()[:800])
    import phoenix; print(phoenix.__version__)
finally:
    p.terminate(); p.wait()
