"""Record a run of the OpenAI Agents SDK in tracegrade, without any other package.

    tracegrade serve &
    pip install openai-agents && python examples/agents_sdk/record.py

The model is a fake one, so that no key and no network are needed; put a real one in its place.
"""

import asyncio
import os

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_trace_processors
from agents.tracing.processors import BackendSpanExporter, BatchTraceProcessor
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

URL = os.environ.get("TRACEGRADE_URL", "http://127.0.0.1:4318")

# These three lines are all that recording takes.
exporter = BackendSpanExporter(endpoint=f"{URL}/v1/traces/ingest", api_key="local")
processor = BatchTraceProcessor(exporter)
set_trace_processors([processor])


@function_tool
def lookup_order(order_id: str) -> str:
    """Looks up an order."""
    return f"order {order_id} was shipped yesterday"


class FakeModel(Model):
    """Calls the tool once, then answers."""

    def __init__(self):
        self.calls = 0

    async def get_response(self, *args, **kwargs) -> ModelResponse:
        self.calls += 1
        if self.calls == 1:
            item = ResponseFunctionToolCall(
                arguments='{"order_id": "A-1001"}', call_id="call_1", name="lookup_order", type="function_call"
            )
        else:
            text = ResponseOutputText(annotations=[], text="It was shipped yesterday.", type="output_text")
            item = ResponseOutputMessage(
                id="msg_1", content=[text], role="assistant", status="completed", type="message"
            )
        usage = Usage(requests=1, input_tokens=100, output_tokens=20, total_tokens=120)
        return ModelResponse(output=[item], usage=usage, response_id=None)

    def stream_response(self, *args, **kwargs):
        raise NotImplementedError("this example does not stream")


async def main() -> None:
    agent = Agent(name="Support", instructions="Use the tools.", tools=[lookup_order], model=FakeModel())
    result = await Runner.run(agent, "Where is order A-1001?")
    processor.shutdown()
    print(result.final_output)
    print("now try: tracegrade traces list")


asyncio.run(main())
