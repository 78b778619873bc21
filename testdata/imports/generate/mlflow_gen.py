"""Traces of MLflow, written by its own tracing into a local file store, offline. Usage: mlflow_gen.py OUT_DIR"""
import json, sys, tempfile, os
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
from mlflow.entities import SpanType
out = sys.argv[1]
mlflow.set_tracking_uri("sqlite:///" + tempfile.mkdtemp() + "/m.db" if len(sys.argv) > 2 else "file://" + tempfile.mkdtemp())
mlflow.set_experiment("refunds")

@mlflow.trace(span_type=SpanType.TOOL)
def lookup_order(order_id: str):
    return {"order": order_id, "status": "delivered", "note": "left at the door"}

@mlflow.trace(span_type=SpanType.TOOL)
def refund(order_id: str):
    raise ValueError("order is too old")

def chat(messages, answer, usage):
    with mlflow.start_span("chat", span_type=SpanType.CHAT_MODEL) as span:
        span.set_inputs({"model": "gpt-4o-mini", "messages": messages})
        span.set_attribute("mlflow.llm.model", "gpt-4o-mini")
        span.set_attribute("mlflow.chat.tokenUsage", usage)
        span.set_outputs({"id": "chatcmpl-1", "model": "gpt-4o-mini-2024-07-18", "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}]})
    return answer

@mlflow.trace(name="refund_agent", span_type=SpanType.AGENT)
def agent(question):
    mlflow.update_current_trace(tags={"team": "support"}, metadata={"mlflow.trace.session": "s-1", "mlflow.trace.user": "u-7"})
    history = [{"role": "system", "content": "You help with refunds."}, {"role": "user", "content": question}]
    order = lookup_order("A-17")
    try:
        refund("A-17")
    except ValueError:
        pass
    history.append({"role": "user", "content": json.dumps(order)})
    return chat(history, "Your order A-17 is too old to be refunded.", {"input_tokens": 31, "output_tokens": 12, "total_tokens": 43})

@mlflow.trace(name="failing_agent", span_type=SpanType.AGENT)
def failing(question):
    refund(question)

agent("Can I have my money back for A-17?")
try:
    failing("B-1")
except ValueError:
    pass
mlflow.flush_trace_async_logging()
traces = mlflow.search_traces(return_type="list")
with open(out + "/traces.jsonl", "w") as f:
    for t in traces:
        f.write(t.to_json() + "\n")
print(len(traces), [len(t.data.spans) for t in traces], mlflow.__version__)
