"""What the Langfuse Python SDK 2 posts to /api/public/ingestion, captured offline with a fake OpenAI. Usage: langfuse_v2_gen.py OUT_FILE
Each line of OUT_FILE is the body of one request, in the order they came."""
import json, sys, threading, time, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
out = open(sys.argv[1], "w"); lock = threading.Lock(); heads = []
class H(BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "ingestion" in self.path:
            j = json.loads(body)
            with lock:
                out.write(json.dumps(j, ensure_ascii=False) + "\n"); out.flush(); heads.append((self.path, dict(self.headers)))
            ans, code = {"successes": [{"id": e["id"], "status": 201} for e in j["batch"]], "errors": []}, 207
        elif self.path.endswith("/chat/completions"):
            req = json.loads(body)
            if req["messages"][-1]["content"] == "fail":
                ans, code = {"error": {"message": "bad request", "type": "invalid_request_error"}}, 400
            else:
                ans, code = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}}, 200
        else:
            ans, code = {}, 200
        b = json.dumps(ans).encode()
        self.send_response(code); self.send_header("content-type", "application/json"); self.send_header("content-length", str(len(b))); self.end_headers(); self.wfile.write(b)
    def do_GET(self):
        b = b"{}"; self.send_response(200); self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b)
s = ThreadingHTTPServer(("127.0.0.1", 0), H); threading.Thread(target=s.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{s.server_port}"
os.environ.update(LANGFUSE_HOST=url, LANGFUSE_PUBLIC_KEY="pk-lf-1", LANGFUSE_SECRET_KEY="sk-lf-1", OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=url + "/v1")
import langfuse
from langfuse import Langfuse
from langfuse.decorators import observe, langfuse_context
print("langfuse", langfuse.version.__version__)
lf = Langfuse(flush_interval=0.2)
# 1: the low level client; the span ends in a later request than it began in
t = lf.trace(name="support", user_id="u-1", session_id="s-1", tags=["vip"], metadata={"plan": "pro"}, input="Where is my order?", version="1.2", release="r7")
span = t.span(name="look up", input={"order": "A-17"}, metadata={"region": "eu", "try": 1})
gen = span.generation(name="answer", model="gpt-4o-mini", model_parameters={"temperature": 0.2}, input=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is my order?"}])
lf.flush(); time.sleep(0.5)
gen.end(output={"role": "assistant", "content": "On its way."}, usage={"input": 12, "output": 4, "unit": "TOKENS"})
span.update(metadata={"try": 2})
lf.flush(); time.sleep(0.5)
bad = span.span(name="pay", input="card")
bad.end(level="ERROR", status_message="card declined")
t.event(name="clicked", input={"button": "ok"})
span.end(output="found")
t.update(output="On its way.")
t.score(name="helpful", value=1, comment="yes")
lf.flush(); time.sleep(0.3)
# 2: decorators and the OpenAI wrapper
try:
    from langfuse.openai import openai
    client = openai.OpenAI(max_retries=0)
    @observe()
    def tool(city): return {"capital of": city}
    @observe()
    def main(q):
        tool("France")
        langfuse_context.update_current_trace(user_id="u-2", session_id="s-2")
        r = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": q}])
        try:
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "fail"}])
        except Exception: pass
        return r.choices[0].message.content
    main("What is the capital of France?")
    langfuse_context.flush(); openai.flush_langfuse()
except Exception as e:
    import traceback; traceback.print_exc()
time.sleep(0.5)
out.close(); s.shutdown()
print({k: v for k, v in heads[0][1].items()}, len(heads))
