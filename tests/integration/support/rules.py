"""Policies by topic, as an operator writes them."""


def text_of(rules):
    """Returns the sections for {filter: {option: value}}."""
    return "".join(f'[topic "{pattern}"]\n' + "".join(f"{k} = {v}\n" for k, v in policy.items())
                   for pattern, policy in rules.items())


def with_rules(folder, rules):
    """Writes a configuration and returns the broker's arguments for it."""
    file = folder / "fantail.conf"
    file.write_text(text_of(rules))
    return ["-c", str(file)]
