#!/bin/sh
# blocks.sh DOCUMENT SCRATCH SOURCE BUILD WEFT LIBRARY CC [FLAGS…]: runs every fenced block of a Markdown file, in order,
# and compares what each prints, errors included, with the `text` block after it. A block without one must print nothing.
# UPDATE_SNAPSHOTS=1 rewrites the text blocks. Everything runs in one folder, in which `examples`, `include` and
# `build/release` are what they are in the repository, with `weft` and `cc` on the PATH.
#
#   ```sh            run by sh
#   ```weft          typed into a session
#   ```weft x.weft   written to the file x.weft
#   ```cmake NAME    written to the file NAME
#   ```c             a program, if it has a `main`. Otherwise a piece of one: the pieces under a heading are joined, after
#                    the block ```c prelude and before the end of `main`.
#   ```c NAME.c      a program that is also written to the file NAME.c
#   ```text          what was printed
#
# `<!-- not run: why -->` before a block excludes it. Links to files are checked, too.
set -eu
document=$1 scratch=$2 source=$3 build=$4 weft=$5 library=$6 cc=$7
shift 7
here=$(cd "$(dirname "$0")" && pwd)
shown=${document#"$source"/}

rm -rf "$scratch"
mkdir -p "$scratch/tree/build" "$scratch/bin"
ln -s "$source/examples" "$source/include" "$scratch/tree"
ln -s "$build" "$scratch/tree/build/release"
# The program leaves freeing to the end of its process; the leak checker is for the blocks in C.
# shellcheck disable=SC2016  # for the script that is written
printf '#!/bin/sh\nASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 exec %s "$@"\n' "$weft" >"$scratch/bin/weft"
printf '#!/bin/sh\nexec %s %s "$@"\n' "$cc" "$*" >"$scratch/bin/cc"
chmod +x "$scratch/bin/weft" "$scratch/bin/cc"
PATH=$scratch/bin:$PATH
CC=$scratch/bin/cc HOME=$scratch/tree
export PATH CC HOME

failed=0
complain() { # LINE TEXT
    echo "$shown:$1: $2"
    failed=1
}

awk -v out="$scratch" -f "$here/blocks.awk" "$document"
[ -s "$scratch/list" ] || { echo "$shown: no blocks"; exit 1; }

# Compiles and runs the program $1; what it prints goes to `got`.
run_c() {
    if cc -std=gnu11 -Wall -Wextra -Werror -I "$source/include" "$1" -o "$scratch/program" \
        -L "$(dirname "$library")" -lweft -Wl,-rpath,"$(dirname "$library")" -pthread -lm >"$scratch/got" 2>&1; then
        "$scratch/program" >"$scratch/got" 2>&1 || echo "(exit status $?)" >>"$scratch/got"
    fi
}

: >"$scratch/prelude.c"
pieces='' pieces_section=-1 ran='' ran_line=0 updated=' '

# The last block that ran printed something that nothing was said about.
nothing_left() {
    if [ -n "$ran" ] && [ -s "$scratch/got" ]; then
        complain "$ran_line" "this block prints what no text block shows:"
        cat "$scratch/got"
    fi
    ran=''
}

cd "$scratch/tree"
while read -r n line kind section name <&3; do
    block=$scratch/$n.text
    [ "$kind" = text ] || nothing_left
    case $kind in
    skip) ;;
    text)
        if [ -z "$ran" ]; then
            complain "$line" "this text follows no block that is run"
        elif ! cmp -s "$scratch/got" "$block"; then
            if [ -n "${UPDATE_SNAPSHOTS-}" ]; then
                cp "$scratch/got" "$scratch/$n.new"
                updated="$updated$n "
            else
                complain "$line" "the block above prints something else (-: shown here, +: printed):"
                diff -u "$block" "$scratch/got" | sed 1,2d || :
            fi
        fi
        ran=''
        ;;
    sh)
        sh -e "$block" >"$scratch/got" 2>&1 || echo "(exit status $?)" >>"$scratch/got"
        ran=$n
        ;;
    weft)
        if [ "$name" = - ]; then
            weft <"$block" >"$scratch/got" 2>&1 || :
            ran=$n
        else
            cp "$block" "$name"
        fi
        ;;
    cmake) cp "$block" "$name" ;;
    c)
        if [ "$name" = prelude ]; then
            cp "$block" "$scratch/prelude.c"
        elif grep -q 'int main(' "$block"; then
            [ "$name" = - ] || cp "$block" "$name"
            cp "$block" "$scratch/whole.c"
            run_c "$scratch/whole.c"
            ran=$n
        else
            [ "$section" = "$pieces_section" ] || { pieces='' pieces_section=$section before=0; }
            pieces="$pieces $block"
            # shellcheck disable=SC2086  # a list of files
            { cat "$scratch/prelude.c" $pieces; printf 'jit_context_free(ctx);\nreturn 0;\n}\n'; } >"$scratch/joined.c"
            run_c "$scratch/joined.c"
            total=$(wc -c <"$scratch/got")
            tail -c +$((before + 1)) "$scratch/got" >"$scratch/got.rest"
            mv "$scratch/got.rest" "$scratch/got"
            before=$total
            ran=$n
        fi
        ;;
    *) complain "$line" "nobody knows how to run a block of the kind \`$kind\`" ;;
    esac
    ran_line=$line
done 3<"$scratch/list"
nothing_left

# The anchors of a page, as its host makes them from the headings.
anchors() {
    grep '^#' "$1" | tr 'A-Z ' 'a-z-' | sed 's/^#*-//; s/[^a-z0-9_-]//g'
}
# shellcheck disable=SC2016  # code between backticks
sed 's/`[^`]*`//g' "$document" | grep -oE '\]\([^) ]+\)' | sed 's/^..//; s/)$//' | grep -v : | sort -u | while read -r link; do
    file=$(dirname "$document")/${link%%#*}
    [ "${link%%#*}" ] || file=$document
    if [ ! -e "$file" ]; then
        echo "$shown: a link leads nowhere: $link"
    elif [ "$link" != "${link#*#}" ] && ! anchors "$file" | grep -qxF -e "${link#*#}"; then
        echo "$shown: the page has no such heading: $link"
    fi
done >"$scratch/links"
if [ -s "$scratch/links" ]; then
    cat "$scratch/links"
    failed=1
fi

if [ "$updated" != ' ' ]; then
    awk -v blocks="$updated" -v from="$scratch" -f "$here/splice.awk" "$document" >"$scratch/new.md"
    cp "$scratch/new.md" "$document"
    echo "$shown: rewrote the blocks$updated"
fi
exit $failed
