"""A stand-in for OpenAI's API that needs no key and no network: point OPENAI_BASE_URL at it.

    python examples/fake_model.py 9000 &
    export OPENAI_BASE_URL=http://127.0.0.1:9000/v1 OPENAI_API_KEY=fake

It speaks Chat Completions and Responses, streamed and whole. Offered a tool that was not called yet, it calls it with
"Paris" for every argument; asked by a JSON schema, it answers the first thing that fits; otherwise "It is sunny in Paris."
"""

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = "It is sunny in Paris."
NUMBERS = itertools.count(1)
USAGE = {"input": 100, "cached": 32, "output": 20, "reasoning": 5}


def decide(offered, called):
    """Returns the first tool that was not called yet, with its arguments, or nothing."""
    for name, schema in offered.items():
        if name not in called:
            return name, json.dumps({key: "Paris" for key in (schema or {}).get("properties", {})})
    return None


def fitting(schema):
    """Returns a value that fits a JSON schema of the kind that models are asked by."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        return {key: fitting(inner) for key, inner in schema.get("properties", {}).items()}
    return {"array": [], "number": 1.0, "integer": 1, "boolean": True, "null": None}.get(schema.get("type"), ANSWER)


def words(schema):
    """Returns the answer in words: free ones, or JSON if a schema asks for it."""
    return json.dumps(fitting(schema)) if schema else ANSWER


def chat_answer(request):
    offered = {tool["function"]["name"]: tool["function"].get("parameters") for tool in request.get("tools") or []}
    calls = [call for message in request["messages"] for call in message.get("tool_calls") or []]
    tool = decide(offered, {call["function"]["name"] for call in calls})
    form = (request.get("response_format") or {}).get("json_schema") or {}
    message = {"role": "assistant", "content": None if tool else words(form.get("schema")), "refusal": None}
    if tool:
        function = {"name": tool[0], "arguments": tool[1]}
        message["tool_calls"] = [{"id": f"call_{len(calls)}", "type": "function", "function": function}]
    return message, "tool_calls" if tool else "stop"


def chat(request):
    message, finish = chat_answer(request)
    usage = {
        "prompt_tokens": USAGE["input"],
        "completion_tokens": USAGE["output"],
        "total_tokens": USAGE["input"] + USAGE["output"],
        "prompt_tokens_details": {"cached_tokens": USAGE["cached"]},
        "completion_tokens_details": {"reasoning_tokens": USAGE["reasoning"]},
    }
    base = {"id": f"chatcmpl-{next(NUMBERS)}", "created": 1, "model": request["model"]}
    if not request.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    delta = dict(message)
    delta["tool_calls"] = [{"index": at, **call} for at, call in enumerate(message.get("tool_calls", []))]
    if not delta["tool_calls"]:
        del delta["tool_calls"]
    chunk = {**base, "object": "chat.completion.chunk", "usage": None}
    choices = [{"index": 0, "delta": delta, "finish_reason": None}, {"index": 0, "delta": {}, "finish_reason": finish}]
    return [{**chunk, "choices": [choice]} for choice in choices] + [{**chunk, "choices": [], "usage": usage}]


def responses(request):
    given = request["input"] if isinstance(request["input"], list) else []
    offered = {tool["name"]: tool.get("parameters") for tool in request.get("tools") or [] if tool["type"] == "function"}
    called = [item["name"] for item in given if item.get("type") == "function_call"]
    tool = decide(offered, set(called))
    if tool:
        call_id = f"call_{len(called)}"
        item = {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": tool[0], "arguments": tool[1]}
    else:
        form = (request.get("text") or {}).get("format") or {}
        text = {"type": "output_text", "text": words(form.get("schema")), "annotations": [], "logprobs": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "content": [text]}
    item["status"] = "completed"
    response = {
        "id": f"resp_{next(NUMBERS)}",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "metadata": {},
        "model": request["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": request.get("tools") or [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": USAGE["input"],
            "input_tokens_details": {"cached_tokens": USAGE["cached"], "cache_write_tokens": 0},
            "output_tokens": USAGE["output"],
            "output_tokens_details": {"reasoning_tokens": USAGE["reasoning"]},
            "total_tokens": USAGE["input"] + USAGE["output"],
        },
    }
    if not request.get("stream"):
        return response
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    events = [("response.created", {"response": begun})]
    events.append(("response.output_item.added", {"output_index": 0, "item": item}))
    events.append(("response.output_item.done", {"output_index": 0, "item": item}))
    events.append(("response.completed", {"response": response}))
    return [{"type": kind, "sequence_number": at, **event} for at, (kind, event) in enumerate(events)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        ways = {"/chat/completions": chat, "/responses": responses}
        way = next((way for end, way in ways.items() if self.path.split("?")[0].endswith(end)), None)
        if way is None:
            return self.answer(404, "application/json", b'{"error":{"message":"not found"}}')
        answer = way(json.loads(body))
        if isinstance(answer, dict):
            return self.answer(200, "application/json", json.dumps(answer).encode())
        named = way is responses
        lines = [(f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in answer]
        lines += [] if named else ["data: [DONE]\n\n"]
        return self.answer(200, "text/event-stream", "".join(lines).encode())

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(port=0):
    """Returns a server on loopback that is ready to run."""
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    server = serve(int(sys.argv[1]) if len(sys.argv) > 1 else 9000)
    print(f"OPENAI_BASE_URL=http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    server.serve_forever()
