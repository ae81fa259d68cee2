#!/bin/sh
# Jobs of Belt in a shell: a process handler (docs/HANDLERS.md, "process").
# It cuts the line by its text, which is right as long as no meta of a job holds
# "payload": itself. For more than that, take jq or another language.

# The work: $1 is the type, $2 the payload as JSON. It prints the result as JSON;
# with an exit code other than 0 the job fails, and the last of stderr is kept.
handle() {
    case $1 in
    *.fail) echo "asked to fail: $2" >&2; return 3 ;;
    *) printf '%s' "$2" ;;
    esac
}

echo '{"op":"ready"}'
while IFS= read -r line; do # ends with the end of stdin
    case $line in '{"op":"job",'*) ;; *) continue ;; esac # hello, drain, cancel
    id=${line#*'"id":"'} id=${id%%'"'*}
    type=${line#*'"type":"'} type=${type%%'"'*}
    payload=${line#*'"payload":'} payload=${payload%'}'}
    if result=$(handle "$type" "$payload" </dev/null); then
        printf '{"op":"done","id":"%s","result":%s}\n' "$id" "${result:-null}"
    else
        printf '{"op":"fail","id":"%s","error":{"type":"exit","message":"exit code %d"}}\n' "$id" $?
    fi
done
