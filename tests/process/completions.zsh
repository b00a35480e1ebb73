#!/usr/bin/env zsh
# What zsh offers behind a line, in a shell that believes that somebody types it:
#   completions.zsh FOLDER-OF-_weir FILE-FOR-ZSH LINE
zmodload zsh/zpty
setup=$(cat <<'SETUP'
PROMPT=
bindkey -e
# Manual pages are built beside the programs, and are no commands.
setopt hash_executables_only
fpath=($completions $fpath)
autoload -Uz compinit
compinit -u -d $dump
bindkey '^M' undefined-key
bindkey '^J' undefined-key
bindkey '^I' complete-word
zstyle ':completion:*' insert-tab false
mark() { print -r -- $'\0' }
compprefuncs=(mark)
comppostfuncs=(mark exit)
compadd() {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
    builtin compadd "$@"
    return
  fi
  local -a found
  builtin compadd -A found "$@"
  builtin compadd "$@"
  print -rl -- $found
}
print ready
SETUP
)
completions=$1 dump=$2
zpty child zsh -f -i
zpty -w child "completions=${(q)completions} dump=${(q)dump}"
print -r -- "$setup" >| $dump.setup
zpty -w child "source ${(q)dump}.setup"
local line
while zpty -r child line; do [[ $line == *ready* ]] && break; done
zpty -w -n child "$3"$'\t'
integer inside=0
while zpty -r child line; do
  if [[ $line == *$'\0'* ]]; then
    ((inside++)) && break
    continue
  fi
  ((inside)) && print -r -- ${line%$'\r\n'}
done
