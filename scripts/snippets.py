"""Runs the programs in docs/connect, docs/grading and README.md against a real server and a fake model, with the real packages.

    python3 scripts/snippets.py target/debug/tracegrade

A Python block behind `<!-- run: … -->` is run as it stands (only the server's address is put in its place), and the trace
that it leaves is held against what the comment says. Behind `<!-- eval: … -->` it has to print the word. Behind
`<!-- shell: WORD; exit CODE -->` commands are run on a demo, have to print the word and to end with the code. Other blocks are
checked for their syntax. Then scripts/openai_evals.py is run with several versions of OpenAI's client. The packages go to virtual
environments below target/, which are made once.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*(ROOT / "docs" / "connect").glob("*.md"), *(ROOT / "docs" / "grading").glob("*.md"), ROOT / "README.md"]
VENV = ROOT / "target" / "snippets"
# the newest, and one of the line before that is still in use
OPENAI_VERSIONS = ["3.57.0", "2.8.0"]
ADDRESS = "http://127.0.0.1:4318"
RUN_SECONDS_MAX = 120
BLOCK = re.compile(r"(?:<!-- (?:run: (?P<want>.*?)|eval: (?P<word>.*?)|shell: (?P<shell>.*?)) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)```", re.S)

sys.path.insert(0, str(ROOT / "examples"))
import fake_model  # noqa: E402


class Failed(Exception):
    """A snippet does not do what its page says."""


def blocks():
    """Returns every block of code of every page, with what is expected of it: of its trace, or of what it prints."""
    for page in sorted(PAGES):
        text = page.read_text()
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start("code"))
            yield f"{page.relative_to(ROOT)}:{line}", found["language"], found["code"], (found["want"], found["word"], found["shell"])


def named(codes):
    """Returns the packages that snippets name in their first lines."""
    lines = [line for code in codes for line in code.splitlines() if line.startswith("# pip install ")]
    return sorted({package for line in lines for package in shlex.split(line)[3:]})


def install(venv, packages):
    """Makes a virtual environment with these packages, and returns its interpreter."""
    python = venv / "bin" / "python"
    stamp = venv / "packages"
    if stamp.exists() and stamp.read_text() == "\n".join(packages):
        return python
    print(f"installing {len(packages)} packages", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    # uv finds versions that go together in seconds where pip takes minutes
    subprocess.run([python, "-m", "pip", "--quiet", "install", "uv"], check=True)
    subprocess.run([venv / "bin" / "uv", "pip", "install", "--quiet", "--python", python, *packages], check=True)
    stamp.write_text("\n".join(packages))
    return python


class Demo:
    """The demo, on a free port; made when the first snippet needs it."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.process = binary, folder, None

    def start(self):
        command = [self.binary, "demo", "--listen", "127.0.0.1:0", "--data-dir", Path(self.folder) / "demo"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = re.search(r"http://[\d.:]+", self.process.stdout.readline())[0]
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def run(self, code, want):
        """Runs commands as a page has them."""
        if self.process is None:
            self.start()
        word, _, code_wanted = want.partition("; exit ")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tracegrade").symlink_to(self.binary)
            own = {"TRACEGRADE_URL": self.url, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": folder}
            done = subprocess.run(
                ["sh", "-ec", code], env=own, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS_MAX
            )
        if done.returncode != int(code_wanted or 0) or word not in done.stdout:
            raise Failed(f"ended with {done.returncode}\n{done.stdout}{done.stderr}")

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=60)


class Server:
    """A tracegrade with an empty store, on a free port."""

    def __init__(self, binary, folder, model_url):
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--grpc-listen", "off", "--data-dir", folder]
        command += ["--log", "warn", "--upstream", f"openai={model_url}/v1"]
        # graders and runs of evals ask the fake model too
        models = {"OPENAI_BASE_URL": f"{model_url}/v1", "OPENAI_API_KEY": "fake"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **models})
        greeting = self.process.stdout.readline()
        self.url = re.search(r"http://[\d.:]+", greeting)[0]
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def traces(self):
        listed = self.get("/v1/traces?limit=1000&include=spans")["data"]
        return {trace["id"]: trace for trace in listed}

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


def wanted(text):
    """Returns what a page says of its snippet's trace: (word, value) pairs."""
    for part in filter(None, map(str.strip, text.split(";"))):
        word, _, value = part.partition("=") if "=" in part else part.partition(" ")
        yield word, value.strip('"')


def holds(word, value, traces):
    """Returns whether one of the new traces is as the page says."""
    spans = [span for trace in traces for span in trace["spans"]]
    if word == "workflow":
        return any(trace["workflow_name"] == value for trace in traces)
    if word == "answer":
        return any(trace["output_preview"] == value for trace in traces)
    if word == "generation":
        calls = [span for span in spans if span["type"] == word]
        return bool(calls) and all(
            call["model"] == "gpt-5-mini" and call["input_tokens"] and call["output_tokens"] for call in calls
        )
    return any(span["type"] == word and span["name"] == value for span in spans)


def execute(python, code, model_url, word, arguments=()):
    """Runs a Python program in a folder of its own. It has to print a word."""
    own = {"OPENAI_BASE_URL": f"{model_url}/v1", "OPENAI_API_KEY": "fake", "PATH": os.environ["PATH"]}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "snippet.py"
        program.write_text(code)
        done = subprocess.run(
            [python, program, *arguments], env={**own, "HOME": folder}, cwd=folder, capture_output=True, text=True,
            timeout=RUN_SECONDS_MAX,
        )
    if done.returncode != 0 or word not in done.stdout:
        raise Failed(f"ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def run(server, model_url, code, want):
    """Runs a Python snippet and looks at what it left."""
    before = server.traces()
    done = execute(VENV / "bin" / "python", code.replace(ADDRESS, server.url), model_url, fake_model.ANSWER)
    traces = [trace for id, trace in server.traces().items() if id not in before]
    missing = [f"{word} {value}".strip() for word, value in wanted(want) if not holds(word, value, traces)]
    if missing:
        seen = [(span["type"], span["name"], span["model"]) for trace in traces for span in trace["spans"]]
        tops = [(trace["workflow_name"], trace["output_preview"]) for trace in traces]
        raise Failed(f"not recorded: {', '.join(missing)}; there are {tops} {seen}\n{done.stderr}")


def check_syntax(language, code):
    """Checks that a block can be read by whoever it is meant for."""
    commands = {
        "js": (["node", "--check"], ".mjs"),
        "python": ([VENV / "bin" / "python", "-m", "py_compile"], ".py"),
        "rust": (["rustfmt", "--edition", "2024", "--quiet"], ".rs"),
        "yaml": ([VENV / "bin" / "python", "-c", "import sys, yaml; yaml.safe_load(open(sys.argv[1]))"], ".yaml"),
        "sh": (["sh", "-n"], ".sh"),
    }
    if language not in commands:
        return
    command, ending = commands[language]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"snippet{ending}"
        file.write_text(code)
        done = subprocess.run([*command, file], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr)


def check(server, demo, model_url, language, code, wants):
    """Runs a block, or checks its syntax, as its page says."""
    want, word, shell = wants
    if shell:
        demo.run(code, shell)
    elif want:
        run(server, model_url, code, want)
    elif word:
        execute(VENV / "bin" / "python", code.replace(ADDRESS, server.url), model_url, word)
    else:
        check_syntax(language, code)


def drive(server, model_url, version):
    """Runs the whole Evals API with a version of OpenAI's client."""
    python = install(ROOT / "target" / f"openai-{version}", [f"openai=={version}"])
    program = ROOT / "scripts" / "openai_evals.py"
    execute(python, program.read_text(), model_url, "the whole cycle", [f"{server.url}/v1"])


def main(binary):
    found = list(blocks())
    install(VENV, named(code for _, _, code, _ in found))
    model = fake_model.serve()
    threading.Thread(target=model.serve_forever, daemon=True).start()
    model_url = f"http://127.0.0.1:{model.server_address[1]}"
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binary, Path(folder) / "own", model_url)
        demo = Demo(binary, folder)
        steps = [(place, lambda block=block: check(server, demo, model_url, *block)) for place, *block in found]
        for version in OPENAI_VERSIONS:
            steps.append((f"openai {version}", lambda version=version: drive(server, model_url, version)))
        try:
            for place, step in steps:
                try:
                    step()
                except (Failed, subprocess.TimeoutExpired) as error:
                    failed += 1
                    print(f"{place}: {error}", file=sys.stderr)
        finally:
            server.stop()
            demo.stop()
    print(f"{len(steps) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
