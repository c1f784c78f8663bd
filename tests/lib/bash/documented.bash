# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Commands of a document, $DOCUMENT, run as they stand there: each test names its block by the heading
# or the bold words before it. Besides common.bash.

# command_blocks [LANGUAGE]: each block of commands, or of that: its name, then its lines, indented.
command_blocks() {
    awk -v mark='```'"${1-sh}" '
        /^## / { name = substr($0, 4) }
        /^\*\*/ { split($0, part, /\*\*/); name = part[2] }
        $0 == mark { inside = 1; print name; next }
        /^```/ { inside = 0 }
        inside { print "    " $0 }' "$DOCUMENT"
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

# run_block NAME: as a user would paste it; the commands are in the output.
run_block() {
    local commands
    commands=$(block "$1")
    [ -n "$commands" ] || { echo "no block '$1' in $DOCUMENT" && return 1; }
    run without_fd3 timeout 100 bash -euxc "$commands"
    echo "$output"
    [ "$status" = 0 ]
}

# every_block_has_its_test: in the file that asks, and no name stands for two.
every_block_has_its_test() {
    local name
    command_blocks | grep -v '^ ' >"$BATS_TEST_TMPDIR/names"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/names")" = "$(grep -c '^```sh$' "$DOCUMENT")" ]
    while read -r name; do
        grep -qF "run_block '$name'" "$BATS_TEST_FILENAME" || { echo "untested: $name" && return 1; }
    done <"$BATS_TEST_TMPDIR/names"
    [ -z "$(sort "$BATS_TEST_TMPDIR/names" | uniq -d)" ]
}
