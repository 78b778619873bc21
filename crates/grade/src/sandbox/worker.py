"""The process that Python graders are forked from.

It runs inside the sandbox and lives for many grades. Before each it forks a child, and only the child
reads the request: this process never holds anybody's data, so that no grade can find another's in its
memory. Standard output carries two words to the pool, `ready <pid>` and `done <status> <marker>`;
standard error carries what the child prints and, at its end, what it answers. The marker closes the
child's part of standard error and is drawn when the child is gone, so that it cannot be forged.
"""

import ctypes
import faulthandler
import importlib
import inspect
import json
import linecache
import math
import numbers
import os
import select
import signal
import sys
import traceback
import types

FILE = "<grader>"
TRACEBACK_FRAMES_MAX = 20
LINE_CHARS_MAX = 200
FILES_MAX = 1 << 16
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2


class Complaint(Exception):
    """What is wrong with a grader, in words for its author."""


class Program(ctypes.Structure):
    """The kernel's `sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def main():
    """Forks a child for each grade, until the pool wants no more."""
    os.closerange(3, FILES_MAX)  # whatever our own parents left open
    os.umask(0o077)
    order = json.loads(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    for name in order["preload"]:
        importlib.import_module(name)
    requests = select.poll()
    requests.register(0, 0)  # reports only that no more will come
    while not requests.poll(0):
        child = os.fork()
        if child == 0:
            try:
                serve(libc, bytes.fromhex(order["filter"]))
            finally:
                os._exit(1)  # whatever happens, the child does not come back
        os.write(1, f"ready {child}\n".encode())
        status = wait(child)
        marker = os.urandom(16).hex()
        os.write(1, f"done {status} {marker}\n".encode())
        os.write(2, f"\n{marker}\n".encode())


def wait(child):
    """Returns the child's status; kills it if the pool dies first."""
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(1, 0)  # reports only that nobody reads any more
    if any(fd == 1 for fd, _ in poll.poll()):
        os.killpg(0, signal.SIGKILL)
    os.close(handle)
    return os.waitpid(child, 0)[1]


def serve(libc, filter):
    """Answers one request, in the child."""
    restrict(libc, filter)
    length = receive(8)
    request = json.loads(receive(int.from_bytes(length, "big")))
    channel = os.dup(2)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    faulthandler.enable(2)
    try:
        outcome = json.dumps(check(**request) if request.get("only_check") else grade(**request))
    except BaseException as error:
        outcome = json.dumps({"failed": explain(error)})
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        pass  # the grader closed or replaced them: what it printed is its own loss
    rest = f"\n{request['nonce']}{outcome}\n".encode()
    while rest:
        rest = rest[os.write(channel, rest) :]
    os._exit(0)


def restrict(libc, filter):
    """Takes from this process what only its parent needs: to fork, to signal, to run programs."""
    if not filter:
        return
    program = Program(len(filter) // 8, filter)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        os.write(2, f"seccomp: {os.strerror(ctypes.get_errno())}".encode())
        os._exit(1)


def receive(length):
    """Reads exactly so many bytes of the request."""
    text = bytearray()
    while len(text) < length:
        read = os.read(0, min(length - len(text), 1 << 20))
        if not read:
            os._exit(0)
        text += read
    return text


def check(source, **_):
    """Compiles a source without running any of it; returns something that a grade might."""
    try:
        compile(source, FILE, "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"line {error.lineno}: " if error.lineno else ""
        line = (error.text or "").strip()[:LINE_CHARS_MAX]
        raise Complaint(f"{where}{error.msg}{': ' if line else ''}{line}") from None
    return {"number": True}


def grade(source, arguments, verdicts, **_):
    """Calls `grade` of the module that the source makes; it returns a number, or a verdict if it may."""
    module = types.ModuleType("grader")
    module.__file__ = FILE
    sys.modules["grader"] = module
    linecache.cache[FILE] = (len(source), None, source.splitlines(True), FILE)
    exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)
    function = getattr(module, "grade", None)
    if not callable(function):
        raise Complaint("the source defines no function `grade`")
    try:
        inspect.signature(function).bind(*arguments.values())
    except TypeError as error:
        raise Complaint(f"`grade` is called as grade({', '.join(arguments)}): {error}") from None
    except ValueError:
        pass  # it has no signature to look at
    value = function(*arguments.values())
    if not verdicts or not isinstance(value, dict):
        return {"number": number(value, "what `grade` returned")}
    if "score" in value and value["score"] is not None:
        value = {**value, "score": number(value["score"], "the score")}
    return {"verdict": value}


def number(value, what):
    """Returns a finite number or a truth value, out of NumPy's clothes if need be."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool):
        return value
    if not isinstance(value, numbers.Real):
        raise Complaint(f"{what} is not a number but of type {type(value).__name__}")
    value = float(value)
    if not math.isfinite(value):
        raise Complaint(f"{what} is {value}, not a finite number")
    return value


def explain(error):
    """Returns a traceback that begins in the grader's own code."""
    if isinstance(error, Complaint):
        return str(error)
    start = error.__traceback__
    while start and start.tb_frame.f_code.co_filename != FILE:
        start = start.tb_next
    lines = traceback.format_exception(type(error), error, start, limit=-TRACEBACK_FRAMES_MAX)
    return "".join(lines).strip()


main()
