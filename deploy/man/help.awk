# From --help to roff: usage as it is laid out, options as a list, the rest as paragraphs.

BEGIN { state = "" }

tolower($0) ~ /^usage: / {
    print ".nf"
    state = "usage"
}

/^$/ {
    if (state == "usage")
        print ".fi"
    if (state == "laid")
        print ".fi"
    if (state != "")
        state = "gap"
    next
}

state == "usage" {
    text = $0
    sub(/^[Uu]sage: /, "", text)
    sub(/^       /, "", text)
    print line(plain(text))
    next
}

# An option: two spaces or the help's column end its name.
/^ +-/ {
    text = $0
    sub(/^ +/, "", text)
    if (match(text, /  +/)) {
        name = substr(text, 1, RSTART - 1)
        text = substr(text, RSTART + RLENGTH)
    } else {
        match(text, / /)
        name = substr(text, 1, RSTART - 1)
        text = substr(text, RSTART + 1)
    }
    print ".TP\n.B " plain(name) "\n" fill(roff(text))
    state = "option"
    next
}

# The rest of an option's help stands below it, far to the right.
state == "option" && /^      / {
    sub(/^ +/, "")
    print fill(roff($0))
    next
}

# What is laid out stays so.
/^ / {
    if (state != "laid")
        print ".PP\n.nf"
    print line(plain($0))
    state = "laid"
    next
}

{
    if (state == "laid")
        print ".fi"
    if (state != "text")
        print ".PP"
    print fill(roff($0))
    state = "text"
}

END {
    if (state == "laid" || state == "usage")
        print ".fi"
}
