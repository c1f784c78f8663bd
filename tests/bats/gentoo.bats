#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What is installed for Portage and for service managers, and what it does. needs_the_plain_build

# shellcheck disable=SC2016 # what is in single quotes is expanded by another shell

load ../lib/bash/common

OUR_USER=steve

# Compiling takes as long as a busy machine lets it.
BATS_TEST_TIMEOUT=600

# Configured and installed once: the files that are tested need nothing compiled.
setup_file() {
    command -v meson >/dev/null || return 0
    export INSTALLED=$BATS_FILE_TMPDIR/root
    export HOOK=$INSTALLED/usr/share/jobwrap/portage/bashrc
    export SHIMS=$INSTALLED/usr/libexec/jobwrap/shims
    configure "$BATS_FILE_TMPDIR/build" -Dportage=enabled -Dopenrc=enabled -Dudev=enabled \
        -D{systemd,sysusers,tmpfiles,modules-load}=enabled -Dsteved-user=$OUR_USER
    meson install -C "$BATS_FILE_TMPDIR/build" --no-rebuild --tags service,portage
    mkdir -p "$SHIMS"
    ln -s "$BUILD"/ninja-shim/{ninja,make} "$SHIMS"
}

setup() {
    common_setup
    require meson
    OPEN_TO_ALL=
}

teardown() {
    common_teardown
    [ -z "$OPEN_TO_ALL" ] || rm -rf "$OPEN_TO_ALL"
}

# configure DIR OPTION...: all that is installed comes below $INSTALLED.
configure() {
    local dir=$1
    shift
    meson setup "$dir" "$ROOT" --prefix="$INSTALLED/usr" --sysconfdir="$INSTALLED/etc" \
        --libexecdir=libexec -Dudevdir="$INSTALLED/usr/lib/udev" \
        -Dsystemdsystemunitdir="$INSTALLED/usr/lib/systemd/system" \
        -Dsystemduserunitdir="$INSTALLED/usr/lib/systemd/user" \
        -Dsysusersdir="$INSTALLED/usr/lib/sysusers.d" -Dtmpfilesdir="$INSTALLED/usr/lib/tmpfiles.d" \
        -Dmodulesloaddir="$INSTALLED/usr/lib/modules-load.d" "$@"
}

# would_install DIR: the files, without compiling them.
would_install() {
    meson introspect "$1" --installed | python3 -c '
import json, os, sys
for file in sorted(json.load(sys.stdin).values()):
    print(os.path.relpath(file, os.environ["INSTALLED"]))'
}

# --- what is installed ---

@test 'with everything enabled, these files are installed' {
    run -0 --separate-stderr would_install "$BATS_FILE_TMPDIR/build"
    diff <(echo "$output") - <<'END'
etc/conf.d/steved
etc/env.d/90jobserver
etc/init.d/steved
etc/sandbox.d/90steve
usr/bin/jobgate
usr/bin/jobserver-emerge
usr/bin/jobwrap
usr/bin/stevectl
usr/bin/steved
usr/bin/stevefarm
usr/include/steved/protocol.h
usr/lib/modules-load.d/steved.conf
usr/lib/systemd/system/steved.service
usr/lib/systemd/user/steved-unmount.service
usr/lib/systemd/user/steved.service
usr/lib/systemd/user/stevefarm@.service
usr/lib/sysusers.d/steved.conf
usr/lib/tmpfiles.d/jobwrap-portage.conf
usr/lib/tmpfiles.d/jobwrap.conf
usr/lib/udev/rules.d/90-steve.rules
usr/libexec/jobwrap/jobwrap-memory-history
usr/libexec/jobwrap/portage/emerge_adapter.py
usr/libexec/jobwrap/portage/emerge_keeper.py
usr/libexec/jobwrap/portage/emerge_tokens.py
usr/libexec/jobwrap/portage/jobserver_client.py
usr/libexec/jobwrap/portage/sitecustomize.py
usr/libexec/jobwrap/shims/cargo
usr/libexec/jobwrap/shims/cmake
usr/libexec/jobwrap/shims/compilers/c++/c++
usr/libexec/jobwrap/shims/compilers/cc/cc
usr/libexec/jobwrap/shims/compilers/clang++/clang++
usr/libexec/jobwrap/shims/compilers/clang/clang
usr/libexec/jobwrap/shims/compilers/g++/g++
usr/libexec/jobwrap/shims/compilers/gcc/gcc
usr/libexec/jobwrap/shims/emerge
usr/libexec/jobwrap/shims/gmake
usr/libexec/jobwrap/shims/launchers/distcc/distcc
usr/libexec/jobwrap/shims/launchers/icecc/icecc
usr/libexec/jobwrap/shims/launchers/launcher-shim
usr/libexec/jobwrap/shims/launchers/recc/recc
usr/libexec/jobwrap/shims/launchers/sccache/sccache
usr/libexec/jobwrap/shims/make
usr/libexec/jobwrap/shims/ninja
usr/libexec/jobwrap/shims/ninja-build
usr/libexec/jobwrap/shims/remake
usr/libexec/jobwrap/shims/samu
usr/share/bash-completion/completions/jobgate
usr/share/bash-completion/completions/jobserver-emerge
usr/share/bash-completion/completions/jobwrap
usr/share/bash-completion/completions/stevectl
usr/share/bash-completion/completions/steved
usr/share/bash-completion/completions/stevefarm
usr/share/fish/vendor_completions.d/jobgate.fish
usr/share/fish/vendor_completions.d/jobserver-emerge.fish
usr/share/fish/vendor_completions.d/jobwrap.fish
usr/share/fish/vendor_completions.d/stevectl.fish
usr/share/fish/vendor_completions.d/steved.fish
usr/share/fish/vendor_completions.d/stevefarm.fish
usr/share/jobwrap/portage/bashrc
usr/share/jobwrap/portage/make.conf
usr/share/man/man1/jobgate.1
usr/share/man/man1/jobserver-emerge.1
usr/share/man/man1/jobwrap.1
usr/share/man/man1/ninja-shim.1
usr/share/man/man1/stevectl.1
usr/share/man/man5/steved.conf.5
usr/share/man/man7/jobserver.7
usr/share/man/man8/steved.8
usr/share/man/man8/stevefarm.8
usr/share/pkgconfig/steved.pc
usr/share/zsh/site-functions/_jobgate
usr/share/zsh/site-functions/_jobserver-emerge
usr/share/zsh/site-functions/_jobwrap
usr/share/zsh/site-functions/_stevectl
usr/share/zsh/site-functions/_steved
usr/share/zsh/site-functions/_stevefarm
END
}

# staged DIR [NAME=VALUE...]: what was built, installed below DIR as distributions do, by the usual directories.
staged() {
    local dir=$BATS_TEST_TMPDIR/usual
    meson setup "$dir" "$ROOT" --prefix=/usr --sysconfdir=/etc --libexecdir=libexec -Dportage=enabled \
        -D{openrc,udev}=enabled -Dudevdir=/usr/lib/udev -D{systemd,sysusers,tmpfiles,modules-load}=enabled
    # Nothing is compiled once more; what has paths in it is made anew.
    (cd "$BUILD" && find . -type f -perm /0111 ! -path './tests/*' ! -path './meson-*' -exec cp --parents {} "$dir" \;)
    cp "$BUILD"/docs/*.[1578] "$dir/docs"
    mkdir -p "$dir/docs/completions"
    cp "$BUILD"/docs/completions/* "$dir/docs/completions"
    DESTDIR=$1 meson install -C "$dir" --no-rebuild
}

@test 'what meson says that it installs is there, below DESTDIR and nowhere else' {
    require scdoc
    local root=$BATS_TEST_TMPDIR/root
    [ -e "$BUILD/portage/jobserver-emerge" ] || missing 'not all has been built'
    staged "$root"
    would_install "$BATS_FILE_TMPDIR/build" | sort >"$BATS_TEST_TMPDIR/expected"
    # Units of Debian 12 are in /lib, which is /usr/lib.
    (cd "$root" && find . ! -type d -printf '%P\n' | sed 's|^lib/|usr/lib/|' | sort) >"$BATS_TEST_TMPDIR/found"
    diff "$BATS_TEST_TMPDIR/expected" "$BATS_TEST_TMPDIR/found"
    for file in usr/bin/steved usr/bin/jobwrap usr/libexec/jobwrap/shims/ninja etc/init.d/steved; do
        [ -x "$root/$file" ]
    done
    grep -q '^ExecStart=/usr/bin/steved ' "$root"/*/systemd/system/steved.service \
        "$root"/usr/lib/systemd/system/steved.service
}

@test 'no value is left to be filled in, and what is executed is executable' {
    run ! grep -rE '@[a-z]+@' "$INSTALLED/etc" "$INSTALLED/usr/lib" "$INSTALLED/usr/share"
    [ -x "$INSTALLED/etc/init.d/steved" ]
    [ -z "$(find "$INSTALLED/etc" "$INSTALLED/usr/lib" "$INSTALLED/usr/share" -type f -perm /0111 \
        ! -path '*/init.d/*')" ]
}

# builds_without PART FILE-OF-IT...: in one directory, so that what has not changed is compiled once; nothing
# is left there of the part that is left out.
builds_without() {
    local file files part options=() dir=$BATS_TEST_TMPDIR/without
    for part in steved jobwrap ninja-shim; do
        [ "$part" = "$1" ] && options+=("-D$part=disabled") || options+=("-D$part=enabled")
    done
    if [ -e "$dir" ]; then
        meson configure "$dir" "${options[@]}"
        rm -r "${dir:?}/$1"
    else
        meson setup "$dir" "$ROOT" --prefix="$INSTALLED/usr" --libexecdir=libexec -Doptimization=0 \
            -Dwerror=true -D{tests,man,completions,portage,openrc,systemd,udev,sysusers,tmpfiles,modules-load}=disabled "${options[@]}"
    fi
    meson compile -C "$dir" -j 2
    files=$(would_install "$dir")
    shift
    for file in "$@"; do
        if grep -qx "$file" <<<"$files"; then
            echo "there is still $file"
            return 1
        fi
    done
    # The others are all there: without those for Portage, shells, readers and service managers they are twenty-seven.
    echo "$files"
    [ "$(wc -l <<<"$files")" = $((27 - $#)) ]
}

@test 'each part can be left out, and the rest builds' {
    builds_without steved usr/bin/steved usr/bin/stevectl usr/bin/stevefarm
    builds_without jobwrap usr/bin/jobwrap usr/libexec/jobwrap/jobwrap-memory-history
    builds_without ninja-shim usr/bin/jobgate usr/libexec/jobwrap/shims/{ninja,ninja-build,samu,make,gmake,remake,cargo,cmake} \
        usr/libexec/jobwrap/shims/launchers/{launcher-shim,{icecc/icecc,distcc/distcc,recc/recc,sccache/sccache}} \
        usr/libexec/jobwrap/shims/compilers/{cc/cc,c++/c++,gcc/gcc,g++/g++,clang/clang,clang++/clang++}
}

# configure_by_ebuild USE: what the ebuild has meson do, with the functions of its eclasses pretended.
configure_by_ebuild() {
    bash -euc '
        use() { [[ " $USE " == *" $1 "* ]]; }
        meson_feature() { use "$1" && echo "-D${2:-$1}=enabled" || echo "-D${2:-$1}=disabled"; }
        inherit() { :; }
        systemd_get_userunitdir() { echo "$INSTALLED/usr/lib/systemd/user"; }
        systemd_get_systemunitdir() { echo "$INSTALLED/usr/lib/systemd/system"; }
        get_udevdir() { echo "$INSTALLED/usr/lib/udev"; }
        meson_src_configure() {
            meson setup "$build" "$ROOT" --prefix="$INSTALLED/usr" --libexecdir=libexec \
                --sysconfdir="$INSTALLED/etc" "${emesonargs[@]}"
        }
        build=$1 USE=$2 EPREFIX=
        source "$ROOT/packaging/gentoo/dev-build/steved/steved-9999.ebuild"
        src_configure' - "$1" "$2"
}

@test 'the ebuild gives meson options that there are, and the user nothing that he has not asked for' {
    configure_by_ebuild "$BATS_TEST_TMPDIR/all" 'steved jobwrap ninja-shim portage man'
    diff <(would_install "$BATS_TEST_TMPDIR/all") \
        <(would_install "$BATS_FILE_TMPDIR/build" | grep -v sysusers)
    configure_by_ebuild "$BATS_TEST_TMPDIR/one" jobwrap
    run -0 --separate-stderr would_install "$BATS_TEST_TMPDIR/one"
    [ "${lines[0]}" = usr/bin/jobwrap ]
    # The header is of use for a jobwrap's socket, too.
    run ! grep -E 'steve|shims|portage' < <(grep -vE '/steved(/protocol.h|.pc)$' <<<"$output")
    # What it takes along besides is there, too.
    (
        cd "$ROOT"
        eval "files=($(sed -n 's/^\tdodoc //p' packaging/gentoo/dev-build/steved/*.ebuild))"
        ls "${files[@]}"
    )
}

@test 'the ebuild of the pytest plugin has it built by what its pyproject.toml names' {
    local backend
    backend=$(sed -n 's/^build-backend = "\([a-z]*\).*/\1/p' "$ROOT/pytest-plugin/pyproject.toml")
    [ -n "$backend" ]
    grep -qx "DISTUTILS_USE_PEP517=$backend" \
        "$ROOT"/packaging/gentoo/dev-python/pytest-jobwrap/*.ebuild
}

# --- is it what its readers understand? ---

@test 'shells read the files without a complaint' {
    bash -n "$HOOK"
    bash -n "$INSTALLED/usr/share/jobwrap/portage/make.conf"
    sh -n "$INSTALLED/etc/init.d/steved"
    sh -n "$INSTALLED/etc/conf.d/steved"
    require shellcheck
    shellcheck -s bash "$HOOK"
    # Read by openrc-run, which gives STEVED_... and RC_SVCNAME, and uses what is set.
    shellcheck -s sh -e SC2034,SC2154 "$INSTALLED/etc/init.d/steved"
    for file in "$ROOT"/packaging/gentoo/*/*/*.ebuild; do
        bash -n "$file"
    done
}

@test 'make.conf sets only the options that may hold no -j, and each line in it can be enabled' {
    local conf=$INSTALLED/usr/share/jobwrap/portage/make.conf
    run -0 env -i bash -euc '
        . "$1"; compgen -v | grep -E "^(MAKE|NINJA|EPYTEST|EMERGE|FEATURES)"
        echo "[$MAKEOPTS$NINJAOPTS]"' - "$conf"
    [ "$output" = $'MAKEOPTS\nNINJAOPTS\n[]' ]
    sed 's/^#\([A-Z_]*=\)/\1/' "$conf" >"$BATS_TEST_TMPDIR/all"
    run -0 env -i FEATURES=sandbox bash -euc '. "$1"; echo "$FEATURES|$MAKEFLAGS|$EPYTEST_FLAGS"' \
        - "$BATS_TEST_TMPDIR/all"
    [ "$output" = 'sandbox jobserver-token|--jobserver-auth=fifo:/dev/steve|-p jobserver' ]
    run ! grep -E '^#?(MAKEOPTS|NINJAOPTS|MAKEFLAGS)=.*-j[0-9]' "$conf"
}

@test 'no shell gets an environment, and the sandbox lets builds write to jobservers' {
    run ! grep -v '^#' "$INSTALLED/etc/env.d/90jobserver"
    # What the sandbox's parser takes: assignments of a quoted value, nothing else.
    run ! grep -vE '^(#.*|SANDBOX_WRITE="[^"]+")$' "$INSTALLED/etc/sandbox.d/90steve"
    [ "$(sed -n 's/^SANDBOX_WRITE=//p' "$INSTALLED/etc/sandbox.d/90steve" | tr '\n' ' ')" = \
        '"/dev/steve" "/dev/steve-remote" "/dev/steve-link" "/run/jobwrap" "/var/cache/jobwrap" "${JOBWRAP_FIFO}" ' ]
}

# units FOLDER: those of systemd, with the programs that were built.
units() {
    mkdir "$BATS_TEST_TMPDIR/$1"
    cp "$INSTALLED/usr/lib/systemd/$1"/* "$BATS_TEST_TMPDIR/$1"
    sed -i "s|$INSTALLED/usr/bin/steved|$STEVED|; s|$INSTALLED/usr/bin/stevefarm|$BUILD/stevefarm/stevefarm|" \
        "$BATS_TEST_TMPDIR/$1"/*.service
}

@test 'systemd knows all that the units say' {
    require systemd-analyze
    units system
    units user
    grep -q "^ExecStart=$STEVED --user=$OUR_USER " \
        "$BATS_TEST_TMPDIR/system/steved.service"
    run -0 systemd-analyze verify --man=no "$BATS_TEST_TMPDIR"/system/*
    [ -z "$output" ]
    run -0 systemd-analyze verify --user --man=no "$BATS_TEST_TMPDIR"/user/*
    [ -z "$output" ]
}

# Of 10, which is everything; what is left is being root at the start, /dev/cuse, and to see all processes.
@test 'the unit of the machine exposes little' {
    require systemd-analyze
    run -0 systemd-analyze security --offline=yes --threshold=18 --no-pager \
        "$INSTALLED/usr/lib/systemd/system/steved.service"
    [[ $output == *'Overall exposure level for steved.service: 1.'* ]]
}

# calls_of SET...: of systemd's sets of system calls, one call a line.
calls_of() {
    local word
    for word in "$@"; do
        case $word in
        @*)
            mapfile -t words < <(systemd-analyze syscall-filter "$word" | sed -n '2,$s/^ *\([@a-z0-9_-]*\)$/\1/p')
            calls_of "${words[@]}"
            ;;
        *) echo "$word" ;;
        esac
    done
}

@test 'the unit of the machine lets through all that steved calls, but what a mount takes' {
    require_root
    require systemd-analyze
    local allowed others words
    read -ra words < <(sed -n 's/^SystemCallFilter=//p' "$INSTALLED/usr/lib/systemd/system/steved.service")
    allowed=$(calls_of "${words[@]}" mount umount2 fsopen fsmount fsconfig move_mount | sort -u)
    # Of what systemd knows, that which this architecture has.
    others=$(echo '#include <sys/syscall.h>' | cc -E -dM - | sed -n 's/^#define __NR_\([a-z0-9_]*\) .*/\1/p' |
        grep -Fxf <(calls_of @known) | grep -Fxvf <(echo "$allowed"))
    [ "$(wc -w <<<"$allowed")" -gt 100 ]
    [ "$(wc -w <<<"$others")" -gt 50 ]
    refused EPERM "$(tr '\n' ',' <<<"$others" | sed 's/,*$//')"
    start_steved_below "${refused[@]}"
    [ "$(steved_get free)" = 2 ]
    stop "$STEVED_PID"
    [ ! -s "$BATS_TEST_TMPDIR/steved.log" ]
}

start_steved_below() {
    local mount=$BATS_TEST_TMPDIR/below
    require_fuse
    STEVED_MOUNTS+=("$mount")
    SERVER=$mount/jobserver
    spawn "$@" "$STEVED" --mount "$mount" --jobs 2 --group root 2>"$BATS_TEST_TMPDIR/steved.log"
    STEVED_PID=$spawned
    wait_for 10 steved_is_up_or_gone
}

@test 'sysusers makes the user and the group' {
    require_root
    require systemd-sysusers
    mkdir "$BATS_TEST_TMPDIR/etc"
    run -0 systemd-sysusers --root="$BATS_TEST_TMPDIR" "$INSTALLED/usr/lib/sysusers.d/steved.conf"
    grep -q '^jobserver:' "$BATS_TEST_TMPDIR/etc/group"
    grep -q "^$OUR_USER:.*:/usr/sbin/nologin$" "$BATS_TEST_TMPDIR/etc/passwd"
}

@test 'systemd-tmpfiles makes the directory of jobservers of root, as jobwrap would' {
    require_root
    require systemd-tmpfiles
    systemd-tmpfiles --create --root="$BATS_TEST_TMPDIR" "$INSTALLED/usr/lib/tmpfiles.d/jobwrap.conf"
    [ "$(stat -c '%a %u %g' "$BATS_TEST_TMPDIR/run/jobwrap")" = '711 0 0' ]
}

@test 'systemd-tmpfiles makes the directory in which builds keep what they learn' {
    require_root
    require systemd-tmpfiles
    # Users are looked up below the root.
    mkdir "$BATS_TEST_TMPDIR/etc"
    echo root:x:0:0:root:/root:/bin/sh >"$BATS_TEST_TMPDIR/etc/passwd"
    printf 'root:x:0:\nportage:x:250:\n' >"$BATS_TEST_TMPDIR/etc/group"
    systemd-tmpfiles --create --root="$BATS_TEST_TMPDIR" "$INSTALLED/usr/lib/tmpfiles.d/jobwrap-portage.conf"
    [ "$(stat -c '%a %u %g' "$BATS_TEST_TMPDIR/var/cache/jobwrap")" = '1770 0 250' ]
}

# udevadm verify is of systemd 254.
@test 'udev understands the rule' {
    local rule=$INSTALLED/usr/lib/udev/rules.d/90-steve.rules
    if udevadm verify --help >/dev/null 2>&1; then
        udevadm verify "$rule"
    fi
    run ! grep -vE '^(#.*|[A-Z]+==?"[^"]+"(, [A-Z]+(==?|\+=)"[^"]+")*)$' "$rule"
    grep -q ' KERNEL=="steve|steve-\[a-z\]\*", .*GROUP="jobserver", MODE="0660"' "$rule"
}

# openrc_run CODE: the service as openrc-run reads it, in which /dev/cuse is there and the rest is
# pretended.
openrc_run() {
    sed '1d; s|-c /dev/cuse|-c /dev/null|' "$INSTALLED/etc/init.d/steved" \
        >"$BATS_TEST_TMPDIR/service"
    printf '#!/bin/sh\necho "ssd $*"\n' >"$BATS_TEST_TMPDIR/start-stop-daemon"
    chmod +x "$BATS_TEST_TMPDIR/start-stop-daemon"
    PATH=$BATS_TEST_TMPDIR:$PATH RC_SVCNAME=steved sh -euc '
        need() { echo "need $*"; }; use() { echo "use $*"; }; after() { echo "after $*"; }
        ebegin() { :; }; eend() { return "$1"; };
        eerror() { echo "eerror $*"; }; ewaitfile() { echo "ewaitfile $*"; [ -e "$2" ]; }
        . "$1"; eval "$2"' - "$BATS_TEST_TMPDIR/service" "$1"
}

@test 'OpenRC: the service starts steved with its options, and has started when the node is there' {
    cd "$BATS_TEST_TMPDIR"
    STEVED_OPTIONS='--jobs=3 --verbose' run -0 openrc_run \
        'echo "$command $command_args"; depend; start_pre'
    [ "$output" = "$INSTALLED/usr/bin/steved --user=$OUR_USER --jobs=3 --verbose
use dev localmount logger
after modules modules-load" ]
    STEVED_NODE=/dev/null run -0 openrc_run start_post
    STEVED_NODE=/nowhere run openrc_run 'start_post || exit 9'
    [ "$status" = 9 ]
    [[ $output == *'eerror steved: /nowhere has not appeared'* ]]
    spawn bash -c 'trap "exit 3" HUP; : >ready; while :; do read -r -t 100 <> <(:); done'
    wait_for 10 test -e ready
    echo "$spawned" >pid
    run -0 openrc_run 'pidfile=pid; reload'
    status_of "$spawned"
    [ "$status" = 3 ]
}

# ours_in_table: of the tables of from-steve.md what stands in the column of ours.
ours_in_table() {
    sed -n 's/^| [^|]* | \([^|]*`[^|]*\) |.*/\1/p' "$ROOT/docs/from-steve.md" |
        grep -o '`[^`]*`' | tr -d '`'
}

@test 'from-steve.md names only what there is' {
    local word help
    start_steved --jobs 4
    help=$("$STEVED" --help | sed 's/$/ /')
    ours_in_table >"$BATS_TEST_TMPDIR/ours"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/ours")" -gt 20 ]
    while read -r word; do
        echo "$word"
        case $word in
        'stevectl get '*) steved_get "${word##* }" ;;
        'stevectl set '*=N)
            word=${word#stevectl set }
            "$STEVECTL" --server "$SERVER" set "${word%N}1"
            ;;
        'stevectl set' | 'stevectl status [--json]' | 'jobwrap -- make') ;;
        --*) grep -qF -- " $word " <<<"$help" ;;
        -*) grep -qF -- " $word, --" <<<"$help" ;;
        *) false ;;
        esac
    done <"$BATS_TEST_TMPDIR/ours"
}

# --- the hook for bashrc ---

# phase PHASE CODE [NAME=VALUE...]: a phase with nothing else in its environment, as Portage begins
# it, on a system of which we know what is there; the hook may use no external command. Then CODE, which sees the PATH that the hook has made.
phase() {
    local phase=$1 code=$2
    shift 2
    env -i PATH=/usr/bin:/bin EPREFIX=/nowhere EBUILD_PHASE="$phase" "$@" HOOK="$HOOK" CODE="$code" \
        "$BASH" --noprofile --norc -uc '
        addwrite() { export SANDBOX_WRITE=${SANDBOX_WRITE-}:$1; }
        ewarn() { echo "ewarn: $*"; }
        command_not_found_handle() { echo "the hook has run $*"; exit 99; }
        try_source() { [[ ! -r $1 ]] || source "$1"; }
        try_source "$HOOK"
        unset -f command_not_found_handle
        eval "$CODE"'
}

SHOW='echo "$PATH|${MAKEFLAGS-}"
    echo "${CARGO_MAKEFLAGS-}|${JOBWRAP_FIFO-}|${JOBWRAP_JOBS-}|${SANDBOX_WRITE-}"'

@test 'hook: from MAKEFLAGS alone comes all that jobwrap gives to a build' {
    local fifo=$BATS_TEST_TMPDIR/fifo phase flags
    mkfifo "$fifo"
    flags="k -j4 --jobserver-auth=fifo:$fifo -- A=b"
    for phase in pretend setup unpack prepare configure compile test install preinst postinst \
        prerm postrm config info nofetch clean; do
        run -0 phase $phase "$SHOW" MAKEFLAGS="$flags"
        [ "$output" = "$SHIMS:/usr/bin:/bin|$flags
-j4 --jobserver-auth=fifo:$fifo|$fifo|4|:$fifo" ]
    done
}

@test 'hook: the last jobserver counts, and words after -- are none' {
    local fifo=$BATS_TEST_TMPDIR/fifo flags
    mkfifo "$fifo"
    flags="-l8 --jobserver-auth=fifo:/nowhere --jobserver-auth=fifo:$fifo -- --jobserver-auth=3,4"
    run -0 phase compile "$SHOW" MAKEFLAGS="$flags"
    [ "${lines[1]}" = "--jobserver-auth=fifo:$fifo|$fifo||:$fifo" ]
    # Descriptors do not come through Portage; they are make's to complain of.
    flags=" -j4 --jobserver-auth=fifo:$fifo --jobserver-auth=3,4"
    run -0 phase compile "$SHOW" MAKEFLAGS="$flags"
    [ "$output" = "/usr/bin:/bin|$flags"$'\n|||' ]
}

@test 'hook: a second time it changes nothing, and it leaves nothing behind' {
    local fifo=$BATS_TEST_TMPDIR/fifo
    mkfifo "$fifo"
    run -0 phase compile '
        before=$(export -p)
        source "$HOOK"
        diff <(echo "$before") <(export -p)' MAKEFLAGS="--jobserver-auth=fifo:$fifo"
    # Neither names nor the shell's options nor IFS are other than they were.
    run -0 env -i PATH=/usr/bin:/bin EPREFIX=/nowhere EBUILD_PHASE=compile HOOK="$HOOK" \
        MAKEFLAGS="--jobserver-auth=fifo:$fifo" bash --norc -uc '
            before= after= IFS=:
            shopt -s failglob
            state() { compgen -v; compgen -A function; echo "$-" "$BASHOPTS" "${IFS@Q}"; }
            before=$(state); source "$HOOK"; after=$(state)
            diff <(echo "$before") <(echo "$after") || :'
    diff <(grep '^[<>]' <<<"$output") - <<'END'
> CARGO_MAKEFLAGS
> JOBWRAP_FIFO
END
}

@test 'hook: at a server MAKEFLAGS is all there is, and whether its slot is paid for is asked' {
    local server=$BATS_TEST_TMPDIR/jobserver
    : >"$server"
    run -0 phase compile "$SHOW" MAKEFLAGS="--jobserver-auth=fifo:$server" \
        JOBWRAP_FIFO=/run/jobwrap/old/jobserver JOBWRAP_JOBS=7
    [ "$output" = "$SHIMS:/usr/bin:/bin|--jobserver-auth=fifo:$server
--jobserver-auth=fifo:$server|||:$server" ]
}

@test 'hook: without a jobserver it does nothing; without shims it leaves PATH alone' {
    local makeflags
    for makeflags in '' '-j4 -l8' 'k -- --jobserver-auth=fifo:/nowhere'; do
        run -0 phase compile "$SHOW" MAKEFLAGS="$makeflags"
        [ "$output" = "/usr/bin:/bin|$makeflags"$'\n|||' ]
    done
    run -0 phase compile 'echo "${MAKEFLAGS-none}"'
    [ "$output" = none ]
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    sed "s|$SHIMS|/nowhere/shims|" "$HOOK" >"$BATS_TEST_TMPDIR/hook"
    HOOK=$BATS_TEST_TMPDIR/hook run -0 phase compile 'echo "$PATH|$JOBWRAP_FIFO"' \
        MAKEFLAGS="--jobserver-auth=fifo:$BATS_TEST_TMPDIR/fifo"
    [ "$output" = "/usr/bin:/bin|$BATS_TEST_TMPDIR/fifo" ]
}

@test 'hook: of a jobserver that is no more nothing is left, and builds say so' {
    local stale=(CARGO_MAKEFLAGS=--jobserver-auth=fifo:/nowhere/fifo JOBWRAP_FIFO=/nowhere/fifo
        JOBWRAP_JOBS=4)
    # Nor of the number of jobs that it had.
    run -0 phase prerm "$SHOW" MAKEFLAGS='-k -j4 --jobserver-auth=fifo:/nowhere/fifo' "${stale[@]}"
    [ "$output" = $'/usr/bin:/bin|-k\n|||:/nowhere/fifo' ]
    # As often as there is a phase that finds it so: later ones have what is exported here.
    run -0 phase setup 'EBUILD_PHASE=compile; source "$HOOK"; echo "[${MAKEFLAGS-none}]"' \
        MERGE_TYPE=source MAKEFLAGS='-j4 --jobserver-auth=fifo:/nowhere/fifo'
    [ "$output" = 'ewarn: jobserver /nowhere/fifo: there is no such file;
ewarn: the package is built without it.
[]' ]
    run -0 phase setup 'echo "[${MAKEFLAGS-none}]"' MERGE_TYPE=binary \
        MAKEFLAGS='--jobserver-auth=fifo:/nowhere/fifo'
    [ "$output" = '[]' ]
}

@test 'hook: do jobs wait for memory, and where is kept what they have needed' {
    local show='echo "${JOBWRAP_MEMORY-}|${JOBWRAP_CACHE_DIR-}|${SANDBOX_WRITE-}"'
    local fifo=$BATS_TEST_TMPDIR/fifo prefix=$BATS_TEST_TMPDIR/prefix
    local below=(phase compile "$show" MAKEFLAGS="--jobserver-auth=fifo:$fifo" EPREFIX="$prefix")
    mkfifo "$fifo"
    run -0 "${below[@]}" JOBWRAP_MEMORY=off
    [ "$output" = "off||:$fifo" ]
    mkdir -p "$prefix/var/cache/jobwrap" "$BATS_TEST_TMPDIR/other"
    run -0 "${below[@]}"
    [ "$output" = "|$prefix/var/cache/jobwrap|:$fifo:$prefix/var/cache/jobwrap" ]
    run -0 "${below[@]}" JOBWRAP_CACHE_DIR="$BATS_TEST_TMPDIR/other"
    [ "$output" = "|$BATS_TEST_TMPDIR/other|:$fifo:$BATS_TEST_TMPDIR/other" ]
    # Who runs emerge has more to say than make.conf.
    touch "$BATS_TEST_TMPDIR/memory=on"
    run -0 "${below[@]}" JOBWRAP_MEMORY=off
    [[ $output == 'on|'* ]]
    mv "$BATS_TEST_TMPDIR/memory=on" "$BATS_TEST_TMPDIR/memory=much"
    run -0 "${below[@]}" JOBWRAP_MEMORY=off
    [[ $output == 'off|'* ]]
}

@test 'hook: when only metadata is wanted it does nothing' {
    local fifo=$BATS_TEST_TMPDIR/fifo
    mkfifo "$fifo"
    run -0 phase depend "$SHOW" PATH=/dev/null MAKEFLAGS="--jobserver-auth=fifo:$fifo"
    [ "$output" = "/dev/null|--jobserver-auth=fifo:$fifo"$'\n|||' ]
}

@test 'hook: ninja in a phase below jobwrap has its jobs wait for tokens' {
    require ninja
    local i
    # shellcheck disable=SC2016 # ninja's variable
    {
        printf 'rule job\n  command = "%s" "%s" ninja.$out 0.1\n' "$STAMP" "$BATS_TEST_TMPDIR/log"
        for i in 1 2 3 4 5 6 7 8; do
            printf 'build job%s: job\n' $i
        done
    } >"$BATS_TEST_TMPDIR/build.ninja"
    export HOOK
    declare -f phase >"$BATS_TEST_TMPDIR/phase"
    run -0 "$JOBWRAP" -j 2 --style=fifo --parent=none -- bash -euc '
        . "$1/phase"
        phase compile "type -P ninja; ninja -C $1" MAKEFLAGS="$MAKEFLAGS"' - "$BATS_TEST_TMPDIR"
    [[ $output == "$SHIMS/ninja"$'\n'* ]]
    "$LIB/concurrency" --expect-max 2 --expect-jobs 8 "$BATS_TEST_TMPDIR/log"
}

# --- builders that have dropped root's privileges ---

# as USER GROUP COMMAND...: with no other groups.
as() {
    local user=$1 group=$2
    shift 2
    setpriv --reuid="$user" --regid="$group" --clear-groups "$@"
}

@test 'userpriv: a builder in the group can use the FIFO of a jobwrap by root; another is told' {
    require_root
    require setpriv
    # Where others than root can read.
    OPEN_TO_ALL=$(mktemp -d /tmp/gentoo.bats.XXXXXX)
    chmod 0755 "$OPEN_TO_ALL"
    cp "$HOOK" "$OPEN_TO_ALL/hook"
    declare -f phase >"$OPEN_TO_ALL/phase"
    cat >"$OPEN_TO_ALL/take-and-return" <<'END'
fifo=${MAKEFLAGS##*fifo:}
[[ $fifo == /run/jobwrap/*/jobserver ]] || exit
: <>"$fifo" || exit
token=$(dd bs=1 count=1 <"$fifo" 2>/dev/null) && printf %s "$token" >"$fifo" && echo 'took a token'
END
    cat >"$OPEN_TO_ALL/build" <<'END'
source "${BASH_SOURCE[0]%/*}/phase"
HOOK=${BASH_SOURCE[0]%/*}/hook
phase compile 'echo "jobserver: [${JOBWRAP_MEMORY-}${JOBWRAP_FIFO-}]"' MAKEFLAGS="$MAKEFLAGS" PORTAGE_BUILD_USER="$1"
END
    run -0 "$JOBWRAP" -j 2 --style=fifo --parent=none --group=nogroup --memory=on -- bash -euc '
        cd /
        as() { setpriv --reuid="$1" --regid="$2" --clear-groups "${@:3}"; }
        as nobody nogroup bash "$1/take-and-return"
        as nobody nogroup bash "$1/build" nobody
        if as daemon daemon bash "$1/take-and-return"; then exit 9; fi
        as daemon daemon bash "$1/build" daemon' - "$OPEN_TO_ALL"
    echo "$output"
    [[ $output == *$'took a token\njobserver: [on/run/jobwrap/'* ]]
    [[ $output == *'no access for daemon (group jobserver?);'*$'\njobserver: []' ]]
    # As where there is no group jobserver.
    run -0 "$JOBWRAP" -j 2 --style=fifo --parent=none -- bash -euc '
        chmod 0700 "${JOBWRAP_FIFO%/*}"
        setpriv --reuid=daemon --regid=daemon --clear-groups bash "$1/build" daemon' - "$OPEN_TO_ALL"
    echo "$output"
    [[ $output == *'no access for daemon (group jobserver?);'*$'\njobserver: []' ]]
}
