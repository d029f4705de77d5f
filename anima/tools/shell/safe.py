"""Which commands need no one's leave, because they can only look: decided on parsed words, before anything runs.

Covered: everything a shell would do with the line (several commands, pipes, redirection, substitution, variables, patterns,
assignments, escapes) is refused, so that the words are the same for every shell and for none; the program must be on the list
under its bare name; options with which a listed program would write, run another program or never end are refused, however
they are abbreviated or put together. Not covered: what the programs may read (the jail decides), how long they take (its wall
limit does), and a listed program that is not what its name says (PATH of the tool holds system directories only).
"""

import re
from collections.abc import Callable, Sequence

PATH = "/usr/local/bin:/usr/bin:/bin"  #: where listed programs are looked for, whatever the caller's PATH

Check = Callable[[Sequence[str]], str | None]

_WORDS_MAX = 200
_CHARS_MAX = 8_000
#: What means something to a shell outside of quotes.
_META = {
    "|": "pipes", "&": "background and chains", ";": "several commands", "<": "redirection", ">": "redirection",
    "(": "subshells", ")": "subshells", "$": "variables and substitution", "`": "substitution", "\\": "escapes",
    "*": "patterns (use the tool glob)", "?": "patterns (use the tool glob)", "[": "patterns (use the tool glob)",
    "]": "patterns", "{": "braces", "}": "braces", "!": "history and negation", "#": "comments", "~": "home directories",
}  # fmt: skip


class Unsafe(ValueError):
    """The line is not safe; the text says why."""


def safe(command: str | Sequence[str]) -> str | None:
    """None if the command, a line or its words, can only look; else one sentence that says why that is not certain."""
    try:
        words = parse(command) if isinstance(command, str) else _checked_words(command)
        return _judge(words)
    except Unsafe as error:
        return str(error)


def parse(line: str) -> list[str]:
    """The words of a line that no shell would read otherwise. Raises Unsafe."""
    if len(line) > _CHARS_MAX:
        raise Unsafe(f"the line is longer than {_CHARS_MAX} characters")
    words: list[str] = []
    index = 0
    while index < len(line):
        if line[index] in " \t":
            index += 1
            continue
        word, index = _word(line, index)
        words.append(word)
    return _checked_words(words)


def _word(line: str, index: int) -> tuple[str, int]:
    pieces: list[str] = []
    while index < len(line) and line[index] not in " \t":
        char = line[index]
        if char in "'\"":
            end = line.find(char, index + 1)
            if end < 0:
                raise Unsafe("a quote is not closed")
            inner = line[index + 1 : end]
            if char == '"' and (found := next((each for each in inner if each in "$`\\!"), "")):
                raise Unsafe(f"within double quotes a shell would act on '{found}'; use single quotes")
            pieces.append(inner)
            index = end + 1
        elif char in _META:
            raise Unsafe(f"'{char}' means {_META[char]} to a shell; put it in single quotes or use exec")
        else:
            pieces.append(char)
            index += 1
    return "".join(pieces), index


def _checked_words(words: Sequence[str]) -> list[str]:
    if not words or not words[0]:
        raise Unsafe("there is no command")
    if len(words) > _WORDS_MAX:
        raise Unsafe(f"there are more than {_WORDS_MAX} words")
    for word in words:
        if not isinstance(word, str):
            raise Unsafe("a word is no text")
        if found := re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", word):
            raise Unsafe(f"a word contains the control character {found[0]!r}")
    return list(words)


def _judge(words: Sequence[str]) -> str | None:
    name = words[0]
    if "=" in name:
        return "it sets a variable before the command"
    if "/" in name:
        return f"'{name}' is a path; a safe command is called by its bare name"
    if name not in COMMANDS:
        return f"'{name}' is not on the list of commands that can only look; use exec"
    complaint = COMMANDS[name](words[1:])
    return f"'{name}' {complaint}" if complaint else None


# -- what each command may be given --------------------------------------------------------------------------------------


def _anything(_: Sequence[str]) -> str | None:
    return None


def _nothing(args: Sequence[str]) -> str | None:
    return "may only be called alone" if args else None


def _without(letters: str, *names: str) -> Check:
    """Refuses one-letter options, also put together (-ro), and long ones, also abbreviated (--outp) or with a value."""

    def check(args: Sequence[str]) -> str | None:
        for arg in args:
            if arg.startswith("--") and len(arg) > 2:  # noqa: PLR2004
                given = arg[2:].partition("=")[0]
                if any(name.startswith(given) for name in names):
                    return f"with {arg} could do more than look"
            elif arg.startswith("-") and (found := next((each for each in arg[1:] if each in letters), "")):
                return f"with -{found} could do more than look"
        return None

    return check


_FIND_ACTS = frozenset({"exec", "execdir", "ok", "okdir", "delete", "fprint", "fprint0", "fprintf", "fls"})


def _find(args: Sequence[str]) -> str | None:
    for arg in args:
        if arg.lstrip("-") in _FIND_ACTS and arg.startswith("-"):
            return f"with {arg} acts on what it finds"
    return None


def _rg(args: Sequence[str]) -> str | None:
    return _without("z", "pre", "pre-glob", "hostname-bin", "search-zip")(args)


def _uniq(args: Sequence[str]) -> str | None:
    """A second file is written to. Values of options must be attached (-f1), so that none can be taken for an option's."""
    options = list(args[: args.index("--")]) if "--" in args else list(args)
    names = (
        len([each for each in options if not each.startswith("-") or each == "-"]) + len(args) - len(options) - ("--" in args)
    )
    return "writes to a second file; attach values to options, as in -f1" if names > 1 else None


_DATE = re.compile(r"\+.*|-u|-R|--utc|--universal|--rfc-email|--rfc-3339=\w+|-I\w*|--iso-8601(=\w+)?|--date=.*", re.DOTALL)


def _date(args: Sequence[str]) -> str | None:
    index = 0
    while index < len(args):
        if args[index] == "-d" and index + 1 < len(args):
            index += 2
        elif _DATE.fullmatch(args[index]):
            index += 1
        else:
            return f"with {args[index]} might set the clock"
    return None


def _hostname(args: Sequence[str]) -> str | None:
    allowed = {"-f", "-s", "-d", "-i", "-I", "-A", "--fqdn", "--long", "--short", "--domain"}
    return None if set(args) <= allowed else "might set the name of the machine"


#: Every command that can only look, with what it may not be given.
COMMANDS: dict[str, Check] = {
    **dict.fromkeys(
        ("ls", "cat", "wc", "pwd", "echo", "which", "stat", "df", "du", "whoami", "uname", "id", "groups", "nl", "cut", "tr",
         "comm", "cmp", "basename", "dirname", "realpath", "readlink", "md5sum", "sha1sum", "sha256sum", "sha512sum", "cksum",
         "tac", "rev", "od", "strings", "fold", "expand", "seq", "true", "false", "grep", "egrep", "fgrep", "head", "uptime",
         "nproc", "arch", "printenv"),
        _anything,
    ),
    "env": _nothing,
    "tail": _without("fF", "follow", "retry"),
    "sort": _without("oTS", "output", "temporary-directory", "compress-program", "buffer-size", "debug"),
    "diff": _without("l", "paginate"),
    "file": _without("CmzZSf", "compile", "magic-file", "uncompress", "uncompress-noreport", "no-sandbox"),
    "tree": _without("oR", "output"),
    "find": _find,
    "rg": _rg,
    "uniq": _uniq,
    "date": _date,
    "hostname": _hostname,
}  # fmt: skip
