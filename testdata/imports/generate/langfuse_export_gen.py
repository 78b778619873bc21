"""Langfuse's export JSON: traces with their observations as GET /api/public/traces/ID gives them. The events that SDK 2 sent
(langfuse-v2/requests.jsonl) are put together as the server does and written with the API's own types (TraceWithFullDetails of
the langfuse package). Usage: langfuse_export_gen.py REQUESTS.jsonl OUT_DIR"""
import json, sys
from datetime import datetime
from langfuse.api.resources.commons.types import TraceWithFullDetails
import langfuse
reqs, out = sys.argv[1], sys.argv[2]
traces, obs, scores = {}, {}, []
def merge(into, body):
    for k, v in body.items():
        if v is None: continue
        into[k] = {**into[k], **v} if k == "metadata" and isinstance(into.get(k), dict) and isinstance(v, dict) else v
for line in open(reqs):
    for e in json.loads(line)["batch"]:
        b = e["body"]; t = e["type"]
        if t == "trace-create": merge(traces.setdefault(b["id"], {}), b)
        elif t == "score-create": scores.append(b)
        else:
            o = obs.setdefault(b["id"], {"type": t.split("-")[0].upper()}); merge(o, b)
def lat(o): return None
with open(out + "/traces.jsonl", "w") as f:
    alls = []
    for id, t in traces.items():
        os_ = []
        for o in obs.values():
            if o["traceId"] != id: continue
            u = o.get("usage") or {}
            i, ou = u.get("input") or u.get("promptTokens") or 0, u.get("output") or u.get("completionTokens") or 0
            os_.append({"level": "DEFAULT", "environment": "default", "createdAt": o["startTime"], "updatedAt": o["startTime"], "projectId": "p1", **{k: v for k, v in o.items() if k != "usage"},
                "usage": {"input": i, "output": ou, "total": i + ou, "unit": "TOKENS"}, "usageDetails": {"input": i, "output": ou, "total": i + ou} if i else {}, "costDetails": {"input": i * 1.5e-7, "output": ou * 6e-7, "total": i * 1.5e-7 + ou * 6e-7} if i else {},
                "promptTokens": i, "completionTokens": ou, "totalTokens": i + ou, "modelId": None, "promptId": None, "promptName": None, "promptVersion": None, "unit": "TOKENS",
                "inputPrice": None, "outputPrice": None, "totalPrice": None, "calculatedInputCost": None, "calculatedOutputCost": None, "calculatedTotalCost": None, "latency": None, "timeToFirstToken": None})
        d = {"timestamp": t.get("timestamp"), "environment": "default", "public": False, "bookmarked": False, "tags": [], "htmlPath": f"/project/p1/traces/{id}", "latency": 1.4, "totalCost": 0.0, "projectId": "p1",
             **{k: v for k, v in t.items() if k != "start_time"}, "observations": os_, "scores": []}
        for o in os_:
            o["metadata"] = o.get("metadata") or {}
        m = TraceWithFullDetails.model_validate(d) if hasattr(TraceWithFullDetails, "model_validate") else TraceWithFullDetails.parse_obj(d)
        j = json.loads(m.json(by_alias=True) if not hasattr(m, "model_dump_json") else m.model_dump_json(by_alias=True))
        j["scores"] = [{"id": "score-1", "name": s["name"], "value": s["value"], "traceId": id, "comment": s.get("comment"), "source": "API", "dataType": "NUMERIC"} for s in scores if s["traceId"] == id]
        alls.append(j); f.write(json.dumps(j, ensure_ascii=False) + "\n")
json.dump(alls, open(out + "/traces.json", "w"), indent=2)
json.dump({"data": [o for t in alls for o in t["observations"]], "meta": {"page": 1, "limit": 50, "totalItems": 0, "totalPages": 1}}, open(out + "/observations.json", "w"))
print(len(alls), sum(len(t["observations"]) for t in alls), len(scores))
