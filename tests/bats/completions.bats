#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What shells complete. needs_the_plain_build: what is asked of the programs is their --help.

load ../lib/bash/common

COMPLETIONS=$BUILD/docs/completions

setup_file() {
    require bash zsh fish
    [ -e /usr/share/bash-completion/bash_completion ] || missing 'no bash-completion'
}

setup() {
    common_setup
    # Files and other programs' completions are of no concern.
    cd "$BATS_TEST_TMPDIR"
}

# complete_by SHELL LINE...: the candidates in $output.
complete_by() {
    run -0 --separate-stderr timeout 60 "$LIB/completes" "$1" "$COMPLETIONS" "${@:2}"
    [ -z "$stderr" ]
}

# offers WORD...: each is a candidate, perhaps with a = behind it.
offers() {
    local word
    for word in "$@"; do
        grep -qxE -- "$word=?" <<<"$output" || { echo "$shell does not complete $word" && return 1; }
    done
}

program() {
    case $1 in
    jobwrap) echo "$JOBWRAP" ;;
    jobgate) echo "$BUILD/ninja-shim/jobgate" ;;
    stevefarm) echo "$BUILD/stevefarm/$1" ;;
    *) echo "$BUILD/steved/$1" ;;
    esac
}

@test 'every option of --help is completed, and it fits in a terminal' {
    local name options shell
    for name in jobwrap jobgate steved stevectl stevefarm; do
        run ! grep -E '.{81}' <<<"$("$(program "$name")" --help)"
        mapfile -t options < <("$(program "$name")" --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+')
        [ ${#options[@]} -ge 3 ]
        for shell in bash zsh fish; do
            complete_by $shell "$name --"
            offers "${options[@]}"
        done
    done
    for shell in bash zsh fish; do
        complete_by $shell 'jobserver-emerge --'
        offers --strict --implicit
    done
}

@test 'every command of stevectl, and its options' {
    local commands name options shell
    mapfile -t commands < <("$STEVECTL" --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p')
    [ ${#commands[@]} -ge 3 ]
    for shell in bash zsh fish; do
        complete_by $shell 'stevectl '
        offers "${commands[@]}"
        for name in "${commands[@]}"; do
            mapfile -t options < <("$STEVECTL" --help | grep "^  $name " | grep -oE -- '--[a-z-]+')
            [ ${#options[@]} -gt 0 ] || continue
            complete_by $shell "stevectl $name --"
            offers "${options[@]}"
        done
    done
}

@test 'names that stevectl gets and sets, and it does' {
    local name shell
    start_steved --jobs 4
    for shell in bash zsh fish; do
        complete_by $shell 'stevectl get '
        offers jobs free memory-floor-bytes
        for name in $output; do
            steved_get "$name"
        done
        complete_by $shell 'stevectl set '
        offers jobs load-recheck
        for name in $output; do
            [[ $name == *= ]]
            "$STEVECTL" --server "$SERVER" set "${name}1"
        done
    done
}

@test 'values of options, behind a = and as words of their own' {
    local shell
    for shell in bash zsh fish; do
        complete_by $shell 'jobwrap --style=' 'jobwrap -j 4 --implicit ' 'jobgate --jobs-of=make --gate='
        output=$(grep -o '[^=]*$' <<<"$output")
        offers auto fifo pipe inherit acquire ptrace seccomp
        complete_by $shell 'jobwrap --style=f'
        [[ $output == *fifo* && $output != *auto* ]]
        complete_by $shell 'jobwrap --jobs '
        run ! grep -q auto <<<"$output"
        complete_by $shell 'steved --user=nob' 'steved --group=nog'
        output=$(grep -o '[^=]*$' <<<"$output")
        offers nobody nogroup
        complete_by $shell 'jobwrap --memory-history '
        offers list forget
    done
}

@test 'files and directories' {
    local shell
    mkdir directory
    touch file
    for shell in bash zsh fish; do
        complete_by $shell 'steved --config=' 'stevectl -s '
        output=$(grep -o '[^=]*$' <<<"$output")
        offers file
        complete_by $shell 'steved --mount '
        output=${output//\//}
        offers directory
        run ! grep -qx file <<<"$output"
    done
}

# Of a program whose completion each of the shells brings along.
@test 'the command that is run is completed as it is without us' {
    local shell line alone below
    for shell in bash zsh fish; do
        case $shell in
        fish) line='find -na' ;;
        *) line='ls --al' ;;
        esac
        complete_by $shell "$line"
        [ -n "$output" ]
        alone=$output
        for below in 'jobwrap' 'jobwrap -j 4 --style=fifo' 'jobwrap --' 'jobgate --jobs-of=xargs'; do
            complete_by $shell "$below $line"
            diff <(sort -u <<<"$alone") <(sort -u <<<"$output")
        done
        # No option of ours behind it.
        complete_by $shell 'jobwrap git --no-sh'
        [ -z "$output" ]
        complete_by $shell 'jobwrap bas'
        offers bash
    done
}
