#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Releases and the packages that are made of them. needs_the_plain_build: they are built by their own rules.

load ../lib/bash/common

# Compiling takes as long as a busy machine lets it.
BATS_TEST_TIMEOUT=600

# A release of the sources as they are now, and a second one made of another checkout at another time.
setup_file() {
    load ../lib/bash/common
    command -v meson >/dev/null && command -v git >/dev/null || return 0
    RELEASE=$BATS_FILE_TMPDIR/first/jobwrap-$(version).tar.xz
    export RELEASE
    "$LIB/committed-copy" "$BATS_FILE_TMPDIR/copy"
    "$BATS_FILE_TMPDIR/copy/packaging/build" tarball "$BATS_FILE_TMPDIR/first"
}

setup() {
    common_setup
    require meson git
}

version() {
    sed -n "s/^  version: '\(.*\)',/\1/p" "$ROOT/meson.build"
}

@test 'the version is the same wherever it stands' {
    [[ $(version) =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]]
    grep -qx "version = \"$(version)\"" "$ROOT/pytest-plugin/pyproject.toml"
    grep -qE "^Version: +$(version)$" "$ROOT/packaging/rpm/jobwrap.spec"
    [[ $(head -n 1 "$ROOT/packaging/debian/changelog") == "jobwrap ($(version)-"* ]]
    grep -qE "^(## \[$(version)\] - [0-9-]{10}|The .* release, $(version)\.)$" "$ROOT/CHANGELOG.md"
}

@test 'a release has the same bytes whenever, wherever and by whomever it is made' {
    local user=()
    directory_for_all
    git clone --quiet "$BATS_FILE_TMPDIR/copy" "$OTHER/copy"
    # As in a copy of the clone.
    (cd "$OTHER/copy" && git ls-files -z | xargs -0 touch --no-dereference -d 2001-01-01)
    if [ "$(id -u)" = 0 ]; then
        require fakeroot
        chown -R nobody "$OTHER/copy"
        user=(as_nobody)
    fi
    (umask 077 && HOME=$OTHER TMPDIR=$OTHER "${user[@]}" "$OTHER/copy/packaging/build" tarball "$OTHER/second")
    cmp "$RELEASE" "$OTHER/second/${RELEASE##*/}"
    (cd "$OTHER/second" && sha256sum --check ./*.sha256sum)
}

@test 'a release is not made of changes that are not committed' {
    git clone --quiet "$BATS_FILE_TMPDIR/copy" "$BATS_TEST_TMPDIR/other"
    echo >>"$BATS_TEST_TMPDIR/other/README.md"
    run -1 --separate-stderr "$BATS_TEST_TMPDIR/other/packaging/build" tarball "$BATS_TEST_TMPDIR/out"
    [ "${#stderr_lines[@]}" = 1 ]
    [[ $stderr == 'build: '*' has changes that are not committed'* ]]
}

@test 'a release has all that git has, but what is of use to git alone' {
    diff <(tar -tf "$RELEASE" | sed -n 's|^[^/]*/||; /[^/]$/p' | sort) \
        <(git -C "$BATS_FILE_TMPDIR/copy" ls-files | grep -vE '^(\.ci/.*|\.gitattributes|\.gitignore)$' | sort)
}

@test 'wrong arguments are quoted, and nothing is made' {
    local build=$ROOT/packaging/build
    cd "$BATS_TEST_TMPDIR"
    refused() {
        run -2 --separate-stderr "$build" "${@:2}"
        [ "${#stderr_lines[@]}" = 1 ] && [[ $stderr == "build: "*"$1"* ]] && [ ! -e out ]
    }
    refused "unknown kind 'zip'" zip out
    refused "unknown option '--frob'" --frob deb out
    refused "not 'deb'" deb
    refused "not 'deb out more'" deb out more
    refused "'x.tar' is not named jobwrap-VERSION.tar.xz" --from x.tar deb out
    refused "there is no 'jobwrap-0.tar.xz'" --from jobwrap-0.tar.xz deb out
    refused "option '--from' needs an argument" --from
    refused '--from is for deb and rpm' --from="$RELEASE" tarball out
}

@test 'without what it needs it says what is missing, and where it says how to install that' {
    local name
    mkdir "$BATS_TEST_TMPDIR/bin"
    for name in bash dirname mkdir mktemp rm id; do
        ln -s "$(command -v $name)" "$BATS_TEST_TMPDIR/bin"
    done
    run -1 --separate-stderr env PATH="$BATS_TEST_TMPDIR/bin" "$ROOT/packaging/build" deb "$BATS_TEST_TMPDIR/out"
    [ "$stderr" = 'build: there is no meson (see --help)' ]
    "$ROOT/packaging/build" --help | grep -q "'apt build-dep ./packaging'"
}

@test 'a program is compiled against the installed header, and steved answers it' {
    require pkg-config cc
    DESTDIR=$BATS_TEST_TMPDIR/root meson install -C "$BUILD" --no-rebuild --tags devel
    export PKG_CONFIG_SYSROOT_DIR=$BATS_TEST_TMPDIR/root
    PKG_CONFIG_LIBDIR=$(dirname "$(find "$BATS_TEST_TMPDIR/root" -name steved.pc)")
    export PKG_CONFIG_LIBDIR
    [ "$(pkg-config --modversion steved)" = "$(version)" ]
    # shellcheck disable=SC2046 # words
    cc -std=gnu99 -Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags steved) -o "$BATS_TEST_TMPDIR/status" \
        "$ROOT/examples/status.c"
    start_steved --jobs 3
    run -0 "$BATS_TEST_TMPDIR/status" "$SERVER"
    [ "$output" = '3 of 3 tokens are free, 0 clients wait' ]
    run -1 "$BATS_TEST_TMPDIR/status" /dev/null
}

@test 'both kinds of packages name the libraries that meson looks for' {
    local name names package
    require pkg-config dpkg
    names=$(sed -n "s/^dep_[a-z]* = dependency('\([^']*\)'.*/\1/p" "$ROOT/meson.build")
    [ -n "$names" ]
    for name in $names; do
        package=$(dpkg --search "$(pkg-config --variable=pcfiledir "$name")/$name.pc")
        echo "$name is in $package"
        grep -qE "^ +${package%%:*}[ ,]" "$ROOT/packaging/debian/control"
        grep -qE "^BuildRequires: +pkgconfig\($name\)" "$ROOT/packaging/rpm/jobwrap.spec"
    done
}

# Compiled without optimisation, which takes half the time and costs _FORTIFY_SOURCE. That there is no script for
# other inits only the lintian of Debian 12 remarks, and to later ones an override of it is an error.
@test 'deb: packages are built, hold what they should, and lintian finds nothing' {
    local packages=$BATS_TEST_TMPDIR/packages package
    require dpkg-buildpackage dh lintian
    DEB_CFLAGS_APPEND=-g0 DEB_BUILD_OPTIONS='nocheck noopt parallel=2 noautodbgsym' "$ROOT/packaging/build" --from "$RELEASE" deb "$packages"
    for package in jobwrap ninja-shim python3-pytest-jobwrap steved steved-dev; do
        dpkg-deb --contents "$packages/${package}_"*.deb >"$BATS_TEST_TMPDIR/$package"
    done
    grep -q ' \./usr/bin/jobwrap$' "$BATS_TEST_TMPDIR/jobwrap"
    grep -q ' \./usr/libexec/jobwrap/shims/ninja$' "$BATS_TEST_TMPDIR/ninja-shim"
    grep -q '/dist-packages/pytest_jobwrap/_client.py$' "$BATS_TEST_TMPDIR/python3-pytest-jobwrap"
    grep -q 'lib/systemd/system/steved.service$' "$BATS_TEST_TMPDIR/steved"
    grep -q ' \./usr/include/steved/protocol.h$' "$BATS_TEST_TMPDIR/steved-dev"
    run -0 lintian --allow-root --display-info --fail-on error,warning \
        --suppress-tags hardening-no-fortify-functions,package-supports-alternative-init-but-no-init.d-script \
        "$packages"/*.changes
    [ "$output" = '' ]
}

# configure_by_spec DIR: what the spec has meson do.
configure_by_spec() (
    local dir=$1
    # shellcheck disable=SC2317 # the spec calls it
    meson() {
        command meson setup "$dir" "$ROOT" "${@:3}"
    }
    eval "$(rpmspec --parse "$ROOT/packaging/rpm/jobwrap.spec" | sed -n '/^meson setup/,/[^\\]$/p')"
)

# listed_by_spec: patterns of the files that it names, and of the directories that it names as a whole.
listed_by_spec() {
    rpmspec --parse "$ROOT/packaging/rpm/jobwrap.spec" |
        sed -n '/^%files/,/^%changelog/{/^\//{s/\./\\./g; s/\*/[^\/]*/g; s/.*/^&(\/.*)?$/; p}}'
}

@test 'rpm: the lists of files have all that is installed, and nothing else' {
    local pattern
    require rpmspec scdoc
    configure_by_spec "$BATS_TEST_TMPDIR/build"
    meson introspect "$BATS_TEST_TMPDIR/build" --installed |
        python3 -c 'import json, sys; print(*json.load(sys.stdin).values(), sep="\n")' >"$BATS_TEST_TMPDIR/installed"
    listed_by_spec >"$BATS_TEST_TMPDIR/listed"
    [ -s "$BATS_TEST_TMPDIR/listed" ]
    run ! grep -vEf "$BATS_TEST_TMPDIR/listed" "$BATS_TEST_TMPDIR/installed"
    while read -r pattern; do
        echo "is anything installed for $pattern?"
        grep -qE "$pattern" "$BATS_TEST_TMPDIR/installed"
    done <"$BATS_TEST_TMPDIR/listed"
}
