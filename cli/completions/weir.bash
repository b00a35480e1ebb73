# bash completion for weir. The programs are asked for their options, and the node behind an
# endpoint for its methods.

_weir_methods() {
  local word
  for word in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
    case $word in
      tcp://* | ipc://*)
        weir services "$word" --names --connect-timeout 1s 2>/dev/null
        return
        ;;
    esac
  done
}

_weir() {
  local cur prev words cword
  if declare -F _init_completion >/dev/null; then
    _init_completion -n : || return # endpoints hold colons
    COMP_WORDS=("${words[@]}") COMP_CWORD=$cword
  else
    cur=${COMP_WORDS[COMP_CWORD]}
  fi
  local offered=
  if ((COMP_CWORD == 1)); then
    offered="$(weir --list-verbs 2>/dev/null) --help --version"
  elif [[ $cur == -* ]]; then
    offered=$(weir "${COMP_WORDS[1]}" --list-options 2>/dev/null)
  elif [[ ${COMP_WORDS[1]} == @(call|submit) ]]; then
    offered=$(_weir_methods)
  fi
  mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$cur")
}

_weir_node() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  [[ $cur == -* ]] || return
  mapfile -t COMPREPLY < <(compgen -W "$("$1" --list-options 2>/dev/null)" -- "$cur")
}

complete -o default -F _weir weir
complete -o default -F _weir_node weir-ventilator weir-worker weir-sink weir-gateway
