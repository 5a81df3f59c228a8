# splice.awk: a Markdown file with the texts of some fenced blocks replaced.
#
#   awk -v blocks=" 2 5 " -v from=FOLDER -f splice.awk FILE.md
#
# The text of each block N that is named becomes FOLDER/N.new.
/^```/ {
    print
    if (inside) {
        inside = 0
        next
    }
    inside = 1
    n++
    replace = index(blocks, " " n " ")
    if (replace) {
        file = from "/" n ".new"
        while ((getline line < file) > 0) print line
        close(file)
    }
    next
}
!(inside && replace)
