"""The log of seeds/collecting-traces-locally.txt, option 1, written by its own code against a fake OpenAI; and pairs of the
Responses API. Usage: request_log_gen.py OUT_DIR"""
import json, sys, threading, os, logging
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
out = sys.argv[1]
class H(BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_POST(self):
        req = json.loads(self.rfile.read(int(self.headers["content-length"]))); code = 200
        if self.path.endswith("/responses"):
            ans = {"id": "resp_1", "object": "response", "created_at": 1760000000, "model": "gpt-4o-mini-2024-07-18", "status": "completed", "error": None, "incomplete_details": None, "instructions": "Be brief.", "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "temperature": 1.0, "top_p": 1.0, "metadata": {},
                   "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Berlin.", "annotations": []}]}],
                   "usage": {"input_tokens": 18, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 21}}
        elif req["messages"][-1]["content"] == "fail":
            ans, code = {"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found", "param": None}}, 404
        else:
            ans = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1760000000, "model": "gpt-4o-mini-2024-07-18", "choices": [{"index": 0, "message": {"role": "assistant", "content": None if req.get("tools") else "Hello!", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Paris\"}"}}] if req.get("tools") else None, "refusal": None}, "finish_reason": "tool_calls" if req.get("tools") else "stop", "logprobs": None}], "usage": {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}}
        b = json.dumps(ans).encode(); self.send_response(code); self.send_header("content-type", "application/json"); self.send_header("content-length", str(len(b))); self.end_headers(); self.wfile.write(b)
s = ThreadingHTTPServer(("127.0.0.1", 0), H); threading.Thread(target=s.serve_forever, daemon=True).start()
import openai
from openai import OpenAI
client = OpenAI(api_key="x", base_url=f"http://127.0.0.1:{s.server_port}/v1", max_retries=0)
lines = open(out + "/option1.log", "w")
logger = type("L", (), {"info": lambda self, m: lines.write(m + "\n"), "error": lambda self, m: lines.write(m.split(": ", 1)[1] + "\n")})()
def call_openai_and_log(client, model, messages, **kwargs):
    trace_data = {"timestamp_start": datetime.now().isoformat(), "request": {"model": model, "messages": messages, "kwargs": kwargs}, "response": None, "error": None, "usage": None, "latency_ms": None, "timestamp_end": None}
    start_time = datetime.now()
    try:
        response = client.chat.completions.create(model=model, messages=messages, **kwargs)
        end_time = datetime.now(); latency = (end_time - start_time).total_seconds() * 1000
        trace_data["response"] = response.to_dict(); trace_data["usage"] = response.usage.to_dict(); trace_data["latency_ms"] = latency; trace_data["timestamp_end"] = end_time.isoformat()
    except openai.APIError as e:
        end_time = datetime.now(); latency = (end_time - start_time).total_seconds() * 1000
        trace_data["error"] = {"type": e.type, "message": e.message, "code": e.code}; trace_data["latency_ms"] = latency; trace_data["timestamp_end"] = end_time.isoformat()
        logger.error(f"OpenAI API Error: {json.dumps(trace_data)}"); raise
    logger.info(json.dumps(trace_data)); return response
call_openai_and_log(client, "gpt-4o-mini", [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello, world!"}], temperature=0.3)
call_openai_and_log(client, "gpt-4o-mini", [{"role": "user", "content": "Weather in Paris?"}], tools=[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}])
try: call_openai_and_log(client, "gpt-9", [{"role": "user", "content": "fail"}])
except openai.APIError: pass
lines.close()
r = client.responses.create(model="gpt-4o-mini", instructions="Be brief.", input="Capital of Germany?")
with open(out + "/responses.jsonl", "w") as f:
    f.write(json.dumps({"request": {"model": "gpt-4o-mini", "instructions": "Be brief.", "input": "Capital of Germany?"}, "response": r.to_dict()}) + "\n")
    f.write(json.dumps(r.to_dict()) + "\n")
print(openai.__version__)
