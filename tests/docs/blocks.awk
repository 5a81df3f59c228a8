# blocks.awk: takes the fenced blocks out of a Markdown file.
#
#   awk -v out=FOLDER -f blocks.awk FILE.md
#
# Writes the text of block N to FOLDER/N.text, and one line a block to FOLDER/list:
#
#   N LINE KIND SECTION NAME
#
# LINE is that of the opening fence; KIND is the first word after it; NAME the second, or `-`; SECTION counts headings,
# so that what belongs together can be found. A block that `<!-- not run: why -->` precedes has the kind `skip`.
BEGIN { n = 0; section = 0; inside = 0; skip = 0 }

/^```/ {
    if (inside) {
        inside = 0
        close(file)
        next
    }
    inside = 1
    skip_now = skip
    skip = 0
    n++
    info = substr($0, 4)
    words = split(info, word, " ")
    kind = words > 0 ? word[1] : "none"
    name = words > 1 ? word[2] : "-"
    if (skip_now) kind = "skip"
    file = out "/" n ".text"
    printf "" > file
    print n, NR, kind, section, name > (out "/list")
    next
}
inside { print > file; next }
/^#/ { section++ }
/^<!-- not run: .* -->$/ { skip = 1; next }
/[^ ]/ { skip = 0 }
