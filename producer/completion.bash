# The part of the completion that does not depend on the commands; what is
# in front of it defines _belt_names, _belt_flags, _belt_value, _belt_arguments.

_belt_complete() { # KIND CURRENT [FLAGS OF REDIS...]
    local kind=$1 cur=$2
    shift 2
    case $kind in
    file) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    directory) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    format) mapfile -t COMPREPLY < <(compgen -W 'table json ndjson tsv' -- "$cur") ;;
    state) mapfile -t COMPREPLY < <(compgen -W 'ready active scheduled retry dead' -- "$cur") ;;
    queue) mapfile -t COMPREPLY < <(compgen -W "$(belt "$@" queues -o tsv \
        --connect-timeout 500ms 2>/dev/null </dev/null | tail -n +2 | cut -f1)" -- "$cur") ;;
    esac
}

_belt() {
    local cur=${COMP_WORDS[COMP_CWORD]} word command= flag= i kind
    local redis=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        [ "$word" = '=' ] && continue
        if [ -n "$flag" ]; then
            case $flag in -u | --redis | --password-file | --namespace)
                redis+=("$flag" "$word") ;;
            esac
            flag=
        elif [[ $word == -* ]]; then
            [ "$(_belt_value "$command" "$word")" = flag ] || flag=$word
        elif [ -z "$command" ] || grep -qxF "$command $word" <<<"$_belt_names"; then
            command=${command:+$command }$word
        fi
    done
    [ "$cur" = '=' ] && cur=
    if [ -n "$flag" ]; then
        kind=$(_belt_value "$command" "$flag")
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_belt_flags "$command")" -- "$cur")
        return
    elif [ "$command" = help ] || [ -z "$command" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(cut -d' ' -f1 <<<"$_belt_names" | uniq)" -- "$cur")
        return
    else
        word=$(sed -n "s/^$command //p" <<<"$_belt_names")
        if [ -n "$word" ] && ! grep -qxF "$command" <<<"$_belt_names"; then
            mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
            return
        fi
        kind=$(_belt_arguments "$command")
    fi
    _belt_complete "$kind" "$cur" "${redis[@]}"
}

_belt_worker() {
    local cur=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    [[ $cur == -* ]] || return
    mapfile -t COMPREPLY < <(compgen -W "$(belt-worker --help | grep -o -e '--[a-z-]*')" -- "$cur")
}

complete -o bashdefault -o default -F _belt belt
complete -o bashdefault -o default -F _belt_worker belt-worker
