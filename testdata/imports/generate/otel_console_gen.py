"""What seeds/collecting-traces-locally.txt, option 2, writes: a ConsoleSpanExporter whose spans have `openai.*` attributes. Usage: otel_console_gen.py OUT_FILE"""
import sys, json
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry import trace
import opentelemetry.sdk.version as v
p = TracerProvider(resource=Resource({"service.name": "agento", "service.version": "3.1"})); out = open(sys.argv[1], "w")
p.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=out)))
tr = p.get_tracer("agento")
with tr.start_as_current_span("agent_run") as root:
    root.set_attribute("openai.event_type", "agent_run"); root.set_attribute("openai.trace_id", "trace_1"); root.set_attribute("openai.parent_id", "None")
    root.set_attribute("openai.data", str({"agent": "Planner"}))
    with tr.start_as_current_span("llm_run") as s:
        s.set_attribute("openai.event_type", "llm_run"); s.set_attribute("openai.trace_id", "trace_1"); s.set_attribute("openai.parent_id", "span_0")
        s.set_attribute("openai.llm.model", "gpt-4o"); s.set_attribute("openai.llm.input", json.dumps([{"role": "user", "content": "What is the capital of France?"}]))
        s.set_attribute("openai.llm.output", "Paris."); s.set_attribute("openai.llm.usage", json.dumps({"prompt_tokens": 14, "completion_tokens": 2, "total_tokens": 16}))
    with tr.start_as_current_span("tool_call") as s:
        s.set_attribute("openai.event_type", "tool_call"); s.set_attribute("openai.tool.name", "search"); s.set_attribute("openai.data", '{"query": "Paris"}')
        s.record_exception(Exception("no network")); s.set_status(trace.Status(trace.StatusCode.ERROR))
p.shutdown(); print(v.__version__)
