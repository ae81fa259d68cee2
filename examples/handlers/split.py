#!/usr/bin/env python3
"""A job that is split, in Python: a process handler (docs/HANDLERS.md, "Sub-tasks").

It handles jobs of type text.words, whose payload is a list of texts, and the
sub-tasks that they are split into, of type text.count.
"""
import json
import sys
import traceback


def say(**message):
    print(json.dumps(message, allow_nan=False), flush=True)


def results(job):
    """What comes back, as it ends; a failure ends the job before that."""
    for line in iter(sys.stdin.buffer.readline, b""):
        m = json.loads(line)
        if m["op"] == "cancel":
            raise InterruptedError(m["reason"])
        if m.get("id") != job["id"]:  # left over from an earlier job
            continue
        if m["op"] == "end":
            return
        yield m


def words(job):
    for i, text in enumerate(job["payload"]):
        say(op="subtask", type="text.count", payload=text, key=str(i))
    say(op="subtasks_end")
    return sum(m["result"] for m in results(job))


def count(job):
    return len(job["payload"].split())


def handle(job):
    return words(job) if job["type"] == "text.words" else count(job)


say(op="ready")
for line in iter(sys.stdin.buffer.readline, b""):
    job = json.loads(line)
    if job["op"] != "job":  # hello, drain, results that nobody waits for
        continue
    try:
        say(op="done", id=job["id"], result=handle(job))
    except Exception as e:
        error = {"type": type(e).__name__, "message": str(e), "trace": traceback.format_exc()}
        say(op="fail", id=job["id"], error=error)
