# bash completion for weir. The programs are asked for their options, and the node behind an
# endpoint for its methods.

# What has been typed, in words: COMP_WORDS is split at the colons of endpoints as well.
_weir_words() {
  local typed=${COMP_LINE:0:COMP_POINT}
  read -ra words <<<"$typed"
  [[ $typed == *[[:blank:]] ]] && words+=("")
  cur=${words[${#words[@]} - 1]}
}

# Those of the lines in $1 that go on from $cur, without what bash does not replace: the part
# of $cur that it takes for other words. They are quoted, and nothing in them is expanded: a
# method is called what others like.
_weir_offer() {
  local last=${COMP_WORDS[COMP_CWORD]} kept line
  [[ $last == : ]] && last=
  kept=${cur%"$last"}
  COMPREPLY=()
  while IFS= read -r line; do
    [[ $line && $line == "$cur"* ]] || continue
    printf -v line %q "${line#"$kept"}"
    COMPREPLY+=("$line")
  done <<<"$1"
}

# The methods behind the endpoint, if it is the only word before $cur that is no option.
_weir_methods() {
  local word is_value places=()
  local takes_value=" $(weir "${words[1]}" --list-value-options 2>/dev/null | tr '\n' ' ') "
  for word in "${words[@]:2:${#words[@]}-3}"; do
    if [[ $is_value ]]; then
      is_value=
    elif [[ $word != -* || $word == - ]]; then
      places+=("$word")
    elif [[ $takes_value == *" $word "* ]]; then
      is_value=1
    fi
  done
  [[ ! $is_value && ${#places[@]} == 1 ]] || return
  weir services "${places[0]}" --names --connect-timeout 1s 2>/dev/null
}

# Whether the command of `weir run` has begun: what follows it is none of our options.
_weir_in_command() {
  local word takes_value=" $(weir run --list-value-options 2>/dev/null | tr '\n' ' ') "
  is_value=
  for word in "${words[@]:2:${#words[@]}-3}"; do
    if [[ $is_value ]]; then
      is_value=
    elif [[ $word == -- || $word != -* ]]; then
      return 0
    elif [[ $takes_value == *" $word "* ]]; then
      is_value=1
    fi
  done
  return 1
}

_weir() {
  local words cur is_value
  _weir_words
  if ((${#words[@]} == 2)); then
    _weir_offer "$(weir --list-verbs 2>/dev/null; printf '%s\n' --help --version)"
  elif [[ ${words[1]} == run ]] && _weir_in_command; then
    return # files
  elif [[ $cur == -* ]]; then
    _weir_offer "$(weir "${words[1]}" --list-options 2>/dev/null)"
  elif [[ ${words[1]} == @(call|submit|services) ]]; then
    _weir_offer "$(_weir_methods)"
  elif [[ ${words[1]} == run && ! $is_value ]]; then
    mapfile -t COMPREPLY < <(compgen -c -- "$cur")
  fi
}

_weir_node() {
  local words cur
  _weir_words
  [[ $cur != -* ]] || _weir_offer "$("$1" --list-options 2>/dev/null)"
}

complete -o default -F _weir weir
complete -o default -F _weir_node weir-ventilator weir-worker weir-sink weir-gateway
