#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Nobody starves: with as many builds as tokens, the one that comes last runs while the others still do. What
# is asserted is the order of the jobs' own stamps, not how long it took: its first job begins while many of
# the jobs of the first build are still to come.

load ../lib/bash/common

setup() {
    cd "$BATS_TEST_TMPDIR"
    unset STAMP_MEET
    unset MAKEFLAGS
    export JOBGATE=$BUILD/ninja-shim/jobgate
}

# build KIND NAME: 60 jobs of 0.1 s, that leave stamps in NAME.log.
build() {
    local kind=$1 name=$2 i
    case $kind in
    make)
        printf 'JOBS = %s\nall: $(JOBS)\n$(JOBS): ; @"%s" "%s" $@ 0.1\n' "$(seq -s ' ' 60)" "$STAMP" "$PWD/$name.log" >"$name.mk"
        set -- make -f "$name.mk"
        ;;
    ninja)
        mkdir -p "$name.d"
        {
            printf 'rule r\n  command = "%s" "%s" $out 0.1\n' "$STAMP" "$PWD/$name.log"
            for i in {1..60}; do echo "build j$i: r"; done
        } >"$name.d/build.ninja"
        set -- ninja -C "$name.d"
        ;;
    nested)
        printf 'JOBS = %s\nall: $(JOBS)\n$(JOBS): ; @"%s" "%s" $@ 0.1\n' "$(seq -s ' ' 60)" "$STAMP" "$PWD/$name.log" >"$name.mk"
        set -- "$JOBWRAP" make -f "$name.mk"
        ;;
    xargs)
        set -- sh -c 'seq 60 | "$0" --jobs-of=xargs xargs -P 60 -I @ "$1" "$2" @ 0.1' "$JOBGATE" "$STAMP" \
            "$PWD/$name.log"
        ;;
    esac
    exec "$JOBWRAP" "${PARENT_OPTION[@]}" "$@" >"$name.out" 2>&1
}

jobs_begun() {
    local count
    count=$(grep -c '^start' "$1" 2>/dev/null) || :
    echo "${count:-0}"
}

has_begun() {
    [ "$(jobs_begun "$1")" -ge "$2" ]
}

# last_of TOKENS FIRST LAST: TOKENS - 1 builds of kind FIRST, and when they run one of kind LAST.
last_of() {
    local i pids=()
    for ((i = 1; i < $1; i++)); do
        spawn build "$2" "first$i"
        pids+=("$spawned")
    done
    for ((i = 1; i < $1; i++)); do
        wait_for 20 has_begun "first$i.log" 3
    done
    spawn build "$3" last
    pids+=("$spawned")
    for i in "${pids[@]}"; do
        wait "$i"
    done
    python3 - "$1" <<'END'
import sys

def starts(name: str) -> list[int]:
    with open(name) as log:
        return sorted(int(line.split()[3]) for line in log if line.startswith("start"))

last = starts("last.log")
assert len(last) == 60, len(last)
for number in range(1, int(sys.argv[1])):
    first = starts(f"first{number}.log")
    assert len(first) == 60, len(first)
    later = sum(1 for begun in first if begun > last[0])
    print(f"first{number}: {later} of 60 jobs began after the last build's first one")
    assert later >= 6, later
END
}

matrix() {
    local first last
    for first in make ninja nested xargs; do
        for last in make ninja nested xargs; do
            echo "$1 tokens: $first, then $last"
            last_of "$1" "$first" "$last"
            rm -rf first* last*
        done
    done
}

@test '2 tokens at steved, and two builds of every kind' {
    start_steved --jobs 2
    PARENT_OPTION=(--parent="$SERVER")
    matrix 2
}

@test '4 tokens at steved, and four builds' {
    start_steved --jobs 4
    PARENT_OPTION=(--parent="$SERVER")
    last_of 4 make make
    rm -rf first* last*
    last_of 4 ninja make
    rm -rf first* last*
    last_of 4 make ninja
}

@test 'the same below one jobwrap, with no daemon' {
    export -f build jobs_begun
    PARENT_OPTION=()
    for kinds in 'make make' 'ninja make' 'make ninja' 'nested make'; do
        read -r first last <<<"$kinds"
        rm -rf first* last*
        echo "$kinds"
        "$JOBWRAP" -j2 --parent=none bash -c "
            PARENT_OPTION=()
            build $first first1 & a=\$!
            until [ \"\$(jobs_begun first1.log)\" -ge 3 ]; do :; done
            build $last last & b=\$!
            wait \$a && wait \$b"
        python3 - <<'END'
def starts(name: str) -> list[int]:
    with open(name) as log:
        return sorted(int(line.split()[3]) for line in log if line.startswith("start"))

first, last = starts("first1.log"), starts("last.log")
assert len(first) == len(last) == 60
later = sum(1 for begun in first if begun > last[0])
print(f"{later} of 60 jobs began after the last build's first one")
assert later >= 6
END
    done
}
