"""Runs of LangSmith as its API gives them back (one Run a line), offline: the client's posts and patches are captured, put
together as the server does, and read with langsmith.schemas.Run. Usage: langsmith_gen.py OUT_DIR"""
import json, sys, os, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
out = sys.argv[1]; runs = {}; posts = []; lock = threading.Lock()
class H(BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def ok(self, ans=b"{}"):
        self.send_response(200); self.send_header("content-type", "application/json"); self.send_header("content-length", str(len(ans))); self.end_headers(); self.wfile.write(ans)
    def do_GET(self): self.ok(json.dumps({"version": "0.10.0"}).encode())
    def body(self): return self.rfile.read(int(self.headers.get("content-length", 0)))
    def do_POST(self):
        b = self.body()
        with lock:
            posts.append(self.path)
            if self.path.endswith("/runs"):
                j = json.loads(b); runs.setdefault(j["id"], {}).update(j)
        self.ok()
    def do_PATCH(self):
        j = json.loads(self.body()); id = self.path.rsplit("/", 1)[1]
        with lock:
            runs.setdefault(id, {}).update({k: v for k, v in j.items() if v is not None})
        self.ok()
s = ThreadingHTTPServer(("127.0.0.1", 0), H); threading.Thread(target=s.serve_forever, daemon=True).start()
os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_API_KEY="k", LANGSMITH_PROJECT="refunds")
import langsmith
from langsmith import Client, traceable
from langsmith.run_helpers import get_current_run_tree
client = Client(api_url=f"http://127.0.0.1:{s.server_port}", api_key="k", auto_batch_tracing=False)
@traceable(run_type="tool", client=client)
def lookup_order(order_id): return {"order": order_id, "status": "delivered"}
@traceable(run_type="tool", client=client)
def refund(order_id): raise ValueError("order is too old")
@traceable(run_type="llm", name="ChatOpenAI", client=client, metadata={"ls_provider": "openai", "ls_model_name": "gpt-4o-mini", "ls_model_type": "chat"})
def chat(messages):
    rt = get_current_run_tree()
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Your order is too old."}, "finish_reason": "stop"}], "model": "gpt-4o-mini-2024-07-18",
            "usage_metadata": {"input_tokens": 31, "output_tokens": 12, "total_tokens": 43, "input_token_details": {"cache_read": 4}}}
@traceable(run_type="chain", name="refund_agent", client=client, tags=["vip"], metadata={"thread_id": "s-1", "user_id": "u-7"})
def agent(question):
    lookup_order("A-17")
    try: refund("A-17")
    except ValueError: pass
    return chat([{"role": "system", "content": "You help with refunds."}, {"role": "user", "content": question}])
@traceable(run_type="chain", name="failing_chain", client=client)
def failing(question): refund(question)
agent("Can I have my money back for A-17?")
try: failing("B-1")
except ValueError: pass
client.flush(); time.sleep(1)
with open(out + "/runs.jsonl", "w") as f:
    for r in runs.values():
        r.setdefault("trace_id", r["id"])
        r.pop("child_runs", None); r.pop("session_name", None) 
        um = (r.get("outputs") or {}).get("usage_metadata")
        if um: # the server counts these up
            r.update(prompt_tokens=um["input_tokens"], completion_tokens=um["output_tokens"], total_tokens=um["total_tokens"], prompt_cost="0.00000465", completion_cost="0.0000072", total_cost="0.00001185")
        run = langsmith.schemas.Run(**r, status="error" if r.get("error") else "success", session_id="11111111-2222-3333-4444-555555555555", app_path=f"/o/x/projects/p/y/r/{r['id']}")
        d = run.model_dump_json() if hasattr(run, "model_dump_json") else run.json()
        f.write(d + "\n")
print(langsmith.__version__, len(runs), set(posts))
