# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For completes: what readline would call, with the words as it would split them.
source /usr/share/bash-completion/bash_completion
directory=$1
shift

# The function that is called tells it what is to be done with its answer.
compopt() {
    :
}

for line in "$@"; do
    program=${line%% *}
    if [ -e "$directory/$program" ]; then
        # shellcheck disable=SC1090 # one of them
        source "$directory/$program"
    elif ! complete -p "$program" &>/dev/null; then
        _completion_loader "$program"
    fi
    COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9 COMP_KEY=9 COMPREPLY=()
    spaced=${line//=/ = }
    read -ra COMP_WORDS <<<"$spaced"
    [[ $line != *[\ ] ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    function=$(complete -p "$program" | sed 's/.*-F \([^ ]*\).*/\1/')
    "$function" "$program" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\n' "${COMPREPLY[@]}"
done
