# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Commands of a document, $DOCUMENT, run as they stand there: each test names its block by the heading
# or the bold words before it; in a manual page by its first line, up to a quote. Besides common.bash.

# command_blocks [LANGUAGE]: each block of commands, or of that: its name, then its lines, indented.
command_blocks() {
    case $DOCUMENT in
    *.scd) blocks_of_page ;;
    *) blocks_of_text "$@" ;;
    esac
}

blocks_of_text() {
    awk -v mark='```'"${1-sh}" '
        /^## / { name = substr($0, 4) }
        /^\*\*/ { split($0, part, /\*\*/); name = part[2] }
        $0 == mark { inside = 1; print name; next }
        /^```/ { inside = 0 }
        inside { print "    " $0 }' "$DOCUMENT"
}

blocks_of_page() {
    awk -v quote="['\"]" '
        { sub(/^\t*/, "") }
        /^```/ { is_first = inside = !inside; next }
        inside && is_first { name = $0; sub(" *" quote ".*", "", name); print name; is_first = 0 }
        inside { print "    " $0 }' "$DOCUMENT"
}

# Of a page those with a prompt, if there are any, to their last line: the rest is what they print.
commands_of() {
    local lines
    lines=$(block "$1")
    sed -n '/^[$#] /{ s///; :line; p; /\\$/{ n; b line; }; }' <<<"$lines" | grep . || echo "$lines"
}

# block NAME [LANGUAGE]
block() {
    command_blocks "${2-sh}" |
        awk -v name="$1" '/^[^ ]/ { inside = $0 == name; next } inside { print substr($0, 5) }'
}

# A daemon that kept bats' own descriptor would keep bats waiting.
without_fd3() {
    "$@" 3>&-
}

# run_block NAME [COMMAND...]: as a user would paste it, below the command; what is run is in the output.
run_block() {
    local commands
    case $DOCUMENT in
    *.scd) commands=$(commands_of "$1") ;;
    *) commands=$(block "$1") ;;
    esac
    [ -n "$commands" ] || { echo "no block '$1' in $DOCUMENT" && return 1; }
    run without_fd3 timeout 250 "${@:2}" bash -euxc "$commands"
    echo "$output"
    [ "$status" = 0 ]
}

# every_block_has_its_test [FILE...]: in the file that asks, or one of these, and no name stands for two.
every_block_has_its_test() {
    local name
    command_blocks | sed '/^ /d' >"$BATS_TEST_TMPDIR/names"
    [[ $DOCUMENT == *.scd ]] ||
        [ "$(wc -l <"$BATS_TEST_TMPDIR/names")" = "$(grep -c '^```sh$' "$DOCUMENT")" ]
    while read -r name; do
        grep -qF "block '$name'" "$BATS_TEST_FILENAME" "$@" ||
            { echo "in $DOCUMENT, untested: $name" && return 1; }
    done <"$BATS_TEST_TMPDIR/names"
    [ -z "$(sort "$BATS_TEST_TMPDIR/names" | uniq -d)" ]
}
