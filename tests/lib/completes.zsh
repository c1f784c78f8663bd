# SPDX-License-Identifier: GPL-2.0-or-later
# For completes: a zsh on a terminal of its own, at which each line is typed and completed.
zmodload zsh/zpty
directory=$1
shift
home=$(mktemp -d)

cat >$home/.zshrc <<'END'
PROMPT=
fpath=($DIRECTORY $fpath)
autoload -Uz compinit
compinit -D -u
LISTMAX=100000
# What matches is written down as it is added; calls that only ask go through.
compadd() {
    local -a hits suffix
    if [[ -z ${(M)argv:#-[OAD]*} ]]; then
        zparseopts -E -a suffix S:
        builtin compadd -O hits "$@"
        (( ! $#hits )) || print -rl -- ${^hits}${suffix[2]} >>$ZDOTDIR/hits
    fi
    builtin compadd "$@"
}
take() {
    zle complete-word
    zle kill-buffer
    print completed
}
zle -N take
bindkey '^T' take
print started
END

await() {
    local said
    while zpty -r shell said; do
        [[ $said != *$1* ]] || return 0
    done
    return 1
}

export ZDOTDIR=$home DIRECTORY=$directory TERM=dumb
: >$home/hits
zpty shell zsh -i
await started
for line in "$@"; do
    zpty -w -n shell "$line"$'\x14'
    await completed
done
zpty -d shell
cat $home/hits
rm -r $home
