#!/usr/bin/env python3
"""Jobs of Belt in Python: a process handler (docs/HANDLERS.md, "process")."""
import json
import sys
import traceback


def handle(job):
    """The work. What it returns is the result; what it raises, the failure."""
    if job["type"].endswith(".fail"):
        raise ValueError(f"asked to fail: {job['payload']}")
    return job["payload"]


def say(**message):
    # ASCII with escapes, so that no locale can spoil it; NaN is no JSON.
    print(json.dumps(message, allow_nan=False), flush=True)


say(op="ready")
for line in sys.stdin.buffer:  # ends with the end of stdin
    job = json.loads(line)
    if job["op"] != "job":  # hello, drain, and a cancel that came too late
        continue
    try:
        say(op="done", id=job["id"], result=handle(job))
    except Exception as e:
        error = {"type": type(e).__name__, "message": str(e), "trace": traceback.format_exc()}
        say(op="fail", id=job["id"], error=error)
