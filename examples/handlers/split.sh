#!/bin/sh
# A job that is split, in a shell: an exec handler (docs/HANDLERS.md, "Sub-tasks").
# Its payload is a text, names with blanks between. Each of them becomes a
# sub-task of type check.centre, and what it prints says which ones failed.
set -eu
names=$(tr -d '"')

belt emit --subtasks order=emitted on_error=collect
{   # beside what reads the results, so that neither waits for the other
    for name in $names; do
        belt emit --subtask --key "$name" check.centre "name=$name"
    done
    belt emit --end
} &

failed=
while IFS= read -r line <&4; do # ends after the last one
    case $line in *'"state":"done"'* | *'"op":"end"'*) continue ;; esac
    name=${line#*'"key":"'} name=${name%%'"'*}
    failed="$failed $name"
done
wait
echo "failed:${failed:- none}"
