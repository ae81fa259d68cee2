#!/usr/bin/env ruby
# Jobs of Belt in Ruby: a process handler (docs/HANDLERS.md, "process").
require "json"

# The work. What it returns is the result; what it raises, the failure.
def handle(job)
  raise ArgumentError, "asked to fail: #{job["payload"]}" if job["type"].end_with?(".fail")
  job["payload"]
end

$stdin.set_encoding("UTF-8") # whatever the locale is
$stdout.set_encoding("UTF-8")
$stdout.sync = true # each line at once

def say(message) = $stdout.write(JSON.generate(message) + "\n")

say(op: "ready")
$stdin.each_line do |line| # ends with the end of stdin
  job = JSON.parse(line)
  next if job["op"] != "job" # hello, drain, and a cancel that came too late
  begin
    say(op: "done", id: job["id"], result: handle(job))
  rescue => e
    say(op: "fail", id: job["id"],
        error: { type: e.class.name, message: e.message, trace: e.backtrace&.join("\n") })
  end
end
