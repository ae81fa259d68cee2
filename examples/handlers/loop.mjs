#!/usr/bin/env node
// Jobs of Belt in Node: a process handler (docs/HANDLERS.md, "process").
// Integers beyond 2^53 lose digits in JSON.parse: push such numbers as strings.
import { createInterface } from "node:readline";

// The work. What it resolves to is the result; what it throws, the failure.
// signal is aborted when the job is cancelled or its time is up.
async function handle(job, signal) {
  if (job.type.endsWith(".fail")) throw new RangeError(`asked to fail: ${job.payload}`);
  return job.payload;
}

const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
let running; // the AbortController of the job

createInterface({ input: process.stdin }).on("line", async (line) => {
  const m = JSON.parse(line);
  if (m.op === "cancel") running?.abort(new Error(m.reason));
  if (m.op !== "job") return; // hello, drain: the end of stdin ends us
  running = new AbortController();
  try {
    say({ op: "done", id: m.id, result: await handle(m, running.signal) });
  } catch (e) {
    say({ op: "fail", id: m.id, error: { type: e.name, message: e.message, trace: e.stack } });
  }
});
say({ op: "ready" });
