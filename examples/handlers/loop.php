#!/usr/bin/env php
<?php
// Jobs of Belt in PHP: a process handler (docs/HANDLERS.md, "process").
ini_set('display_errors', 'stderr');

// The work. What it returns is the result; what it throws, the failure.
// Objects of the payload are objects here, so that {} does not become [].
function handle(object $job): mixed
{
    if (str_ends_with($job->type, '.fail')) {
        throw new DomainException("asked to fail: $job->payload");
    }
    return $job->payload;
}

function say(array $message): void
{
    $flags = JSON_THROW_ON_ERROR | JSON_PRESERVE_ZERO_FRACTION | JSON_INVALID_UTF8_SUBSTITUTE;
    fwrite(STDOUT, json_encode($message, $flags) . "\n"); // written at once
}

say(['op' => 'ready']);
while (($line = fgets(STDIN)) !== false) { // ends with the end of stdin
    $job = json_decode($line, false, 512, JSON_THROW_ON_ERROR);
    if ($job->op !== 'job') {
        continue; // hello, drain, and a cancel that came too late
    }
    try {
        say(['op' => 'done', 'id' => $job->id, 'result' => handle($job)]);
    } catch (Throwable $e) {
        $error = ['type' => $e::class, 'message' => $e->getMessage(), 'trace' => $e->getTraceAsString()];
        say(['op' => 'fail', 'id' => $job->id, 'error' => $error]);
    }
}
