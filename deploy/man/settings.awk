# From the commented sample, which is made of the table of settings, to roff: a list for each section. A setting
# stands there as comments (what it is, what it takes, its variable, if it is not a topic's), then "#NAME = VALUE".

function sentence(text) {
    # A value that is explained first is not a sentence's first word.
    if (text ~ /^[a-z]+: /)
        return roff(text) "."
    return toupper(substr(text, 1, 1)) roff(substr(text, 2)) "."
}

/^#?\[/ {
    is_topic = /topic/
    name = is_topic ? "[topic \\(dqFILTER\\(dq]" : $0
    print ".SS \"" name "\""
    n = 0
    next
}

/^# / {
    said[++n] = substr($0, 3)
    next
}

/^#[a-z_]+ = / {
    at = index($0, " = ")
    value = bold(substr($0, at + 3))
    print ".TP\n.B " plain(substr($0, 2, at - 2))
    print fill(sentence(said[1]))
    if (said[3] ~ /not set by default/ && !is_topic)
        print ".br\nNot set by default; for example " value "."
    else if (said[1] !~ /the default is/)
        print ".br\nDefault: " value "."
    print ".br"
    print fill("Takes " roff(said[2]) ".")
    if (!is_topic) {
        variable = said[3]
        sub(/ .*/, "", variable)
        print ".br\n" bold(variable) (said[3] ~ /SIGHUP/ ? "; read again at SIGHUP." : "; read at the start only.")
    }
}

{
    n = 0
}
