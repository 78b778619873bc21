"""Logs of Inspect AI with its mock model, offline. Usage: inspect_gen.py OUT_DIR"""
import sys, os, glob, shutil
from inspect_ai import Task, eval, task
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model, ModelOutput
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools, system_message
from inspect_ai.tool import tool
out = sys.argv[1]

@tool
def add():
    async def execute(x: int, y: int):
        """Add two numbers.

        Args:
            x: First number.
            y: Second number.
        """
        return x + y
    return execute

@tool
def broken():
    async def execute(what: str):
        """Do something that fails.

        Args:
            what: What to do.
        """
        from inspect_ai.tool import ToolError
        raise ToolError("the disk is full")
    return execute

outputs = [
    ModelOutput.for_tool_call("mockllm/model", "add", {"x": 1, "y": 1}),
    ModelOutput.from_content("mockllm/model", "The answer is 2."),
    ModelOutput.for_tool_call("mockllm/model", "broken", {"what": "save " + "a long file name " * 20}),
    ModelOutput.from_content("mockllm/model", "I could not save it."),
]
from inspect_ai.model import ModelUsage
for i, o in enumerate(outputs):
    o.usage = ModelUsage(input_tokens=40 + i, output_tokens=5, total_tokens=45 + i, input_tokens_cache_read=8)
t = Task(dataset=[Sample("What is 1 + 1?", target="2", id="sum"), Sample("Save the file.", target="saved", id="save")],
         solver=[system_message("You are careful. " + "Always check your work twice. " * 12), use_tools(add(), broken()), generate()], scorer=includes(), name="tools")
for fmt in ("json", "eval"):
    eval(t, model=get_model("mockllm/model", custom_outputs=list(outputs)), log_format=fmt, log_dir=out + "/logs", display="none", max_samples=1)
def boom():
    from inspect_ai.solver import solver
    @solver
    def s():
        async def solve(state, generate):
            raise RuntimeError("the solver broke")
        return solve
    return s()
t2 = Task(dataset=[Sample("Anything?", target="x", id=1)], solver=[boom()], scorer=includes(), name="fails")
eval(t2, model="mockllm/model", log_format="json", log_dir=out + "/logs", display="none")
for f in glob.glob(out + "/logs/*"):
    print(f, os.path.getsize(f))
