"""Secrets by name: systemd's credentials, else the keyring, else secrets.toml, which also says what the keyring holds.

    anthropic = "sk-ant-..."            the value itself
    brave = { from = "keyring" }        the keyring has it

Covers: who may read the file; writing that a crash or another writer cannot tear; what a person wrote beside the values.
"""

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from anima.config import keyring
from anima.config.check import Document, Missing, parse, read_text, unknown
from anima.config.lines import quoted, statements
from anima.errors import ConfigError, Refused, Unavailable
from anima.limits import secret_bytes_max, secret_name_chars_max
from anima.log.redact import SECRET_CHARS_MIN
from anima.paths import Home

Place = Literal["systemd", "keyring", "secrets.toml"]

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{secret_name_chars_max - 1}}}")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_IN_KEYRING = {"from": "keyring"}


@dataclass(frozen=True)
class Secret:
    """One secret: where it is, and its value unless there is a reason why not."""

    place: Place
    value: str
    why: str = ""  #: why there is no value, a sentence


def find_secrets(home: Home, environ: Mapping[str, str] = os.environ) -> dict[str, Secret]:
    """All secrets by name. Raises ConfigError if the file or a credential of systemd's cannot be used.

    What the keyring does not give is there without its value: only who needs it shall fail for it.
    """
    written = _written(home).values
    held = keyring.answers(home, [name for name, value in written.items() if value == _IN_KEYRING], environ)
    found = {
        name: _secret("keyring", name, held[name]) if name in held else _secret("secrets.toml", name, value)
        for name, value in written.items()
    }
    for name, path in _given(environ).items():
        found[name] = _secret("systemd", name, read_text(path).rstrip("\n"))
    return found


def places(home: Home, environ: Mapping[str, str] = os.environ) -> dict[str, Place]:
    """Where each secret is, by name, sorted; no value is read but those of secrets.toml, and the keyring is not asked."""
    found: dict[str, Place] = {
        name: "keyring" if value == _IN_KEYRING else "secrets.toml" for name, value in _written(home).values.items()
    }
    found |= dict.fromkeys(_given(environ), "systemd")
    return dict(sorted(found.items()))


def check_secret_name(name: str) -> None:
    """Raise Refused if no secret can be called so. The names allowed are also those of files and of keys in TOML."""
    if not _NAME.fullmatch(name):
        raise Refused(
            f"{name[:80]!r} cannot name a secret: use at most {secret_name_chars_max} letters, digits, '-', '_' and '.', "
            "first a letter or digit"
        )


def set_secret(home: Home, name: str, value: str, environ: Mapping[str, str], *, in_keyring: bool = False) -> None:
    """Keep `value` under `name` in secrets.toml or in the keyring, and no longer in the other one.

    Raises Refused about the name or the value, Unavailable if the keyring or the disk does not take it.
    """
    check_secret_name(name)
    _check_value(value)
    with _writing(home) as document:
        before = document.values.get(name)
        if in_keyring:
            keyring.put(home, name, value, environ)
        _write(document, name, _IN_KEYRING if in_keyring else value)
        if before == _IN_KEYRING and not in_keyring:
            keyring.drop(home, name, environ)


def remove_secret(home: Home, name: str, environ: Mapping[str, str]) -> Place:
    """Forget `name`; where it was. Raises Refused if there is none or systemd gave it, Unavailable as `set_secret` does."""
    with _writing(home) as document:
        if name not in document.values:
            if name in (others := _given(environ)):
                raise Refused(f"'{name}' comes from systemd ({others[name]}); remove its LoadCredential= from the unit")
            known = list(places(home, environ))
            raise Refused(f"'{name}' is an {unknown(name, known, 'secret')}" if known else f"there is no secret '{name}'")
        place: Place = "keyring" if document.values[name] == _IN_KEYRING else "secrets.toml"
        _write(document, name, None)
        if place == "keyring":
            keyring.drop(home, name, environ)
        return place


def _secret(place: Place, name: str, value: str | Missing) -> Secret:
    if isinstance(value, Missing):
        return Secret(place, "", f"the credential '{name}' {value.why}")
    why = "" if value else f"the credential '{name}' is empty ({place}); run `animactl secrets set {name}`"
    return Secret(place, value, why)


def _given(environ: Mapping[str, str]) -> dict[str, Path]:
    """The files of LoadCredential= by name."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return {}
    try:
        return {path.name: path for path in sorted(Path(directory).iterdir()) if path.is_file()}
    except OSError as error:
        raise ConfigError(f"{directory} ($CREDENTIALS_DIRECTORY) cannot be read: {error.strerror}; correct the unit") from error


def _check_value(value: str) -> None:
    if not value:
        raise Refused("the value is empty; nothing was changed (`animactl secrets remove NAME` removes a secret)")
    if len(value.strip()) < SECRET_CHARS_MIN:
        raise Refused(f"a value of fewer than {SECRET_CHARS_MIN} characters cannot be kept out of logs; nothing was changed")
    if len(value.encode()) > secret_bytes_max:
        raise Refused(f"the value is longer than {secret_bytes_max:,} bytes; nothing was changed")


# -- secrets.toml -----------------------------------------------------------------------------------------------------------


def _written(home: Home) -> Document:
    """secrets.toml, checked; an empty one if there is none."""
    path = home.secrets
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ConfigError(f"{path} can be read by others (mode {mode:04o}); run `chmod 600 {path}`")
        document = parse(path, read_text(path))
    except FileNotFoundError:
        return Document(path, {}, "")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; correct its permissions") from error
    for name, value in document.values.items():
        if not isinstance(value, str) and value != _IN_KEYRING:
            raise document.wrong((name,), 'a credential is text; write it as name = "value"')
    return document


@contextmanager
def _writing(home: Home) -> Iterator[Document]:
    """secrets.toml for the one who may write it now; a second writer waits. Raises Unavailable if the disk does not take it."""
    try:
        home.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(home.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield _written(home)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise Unavailable(f"{home.secrets} cannot be written: {error.strerror}; nothing was changed") from error


def _write(document: Document, name: str, value: str | dict[str, str] | None) -> None:
    """Put `value` in the place of `name`'s line, or at the end, and leave every other line as its writer left it."""
    wanted: dict[str, Any] = {each: kept for each, kept in document.values.items() if each != name}
    line = ""
    if value is not None:
        wanted[name] = value
        told = quoted(value) if isinstance(value, str) else '{ from = "keyring" }'
        line = f"{name if _BARE.fullmatch(name) else quoted(name)} = {told}\n"
    spans = [(begin, end) for table, key, begin, end in statements(document.text) if table + key == (name,)]
    begin, end = spans[0] if spans else (len(document.text),) * 2
    before = document.text[:begin]
    text = before + ("\n" if before and not before.endswith("\n") else "") + line + document.text[end:]
    try:
        right = parse(document.path, text).values == wanted
    except ConfigError:
        right = False
    if not right:  # a table, dotted keys: TOML that this writes nowhere, and that it could only break
        raise Refused(f"'{name}' cannot be changed in {document.path} as it is written; change it there by hand")
    _replace(document.path, text)


def _replace(path: Path, text: str) -> None:
    """Have the file hold `text`: all of it, readable by its owner alone, or the old one."""
    place = Path(os.path.realpath(path))  # a link stays one
    owner = (place if place.exists() else place.parent).stat()
    fd, draft = tempfile.mkstemp(prefix=".secrets-", dir=place.parent)  # 0600 from the beginning
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode())
            file.flush()
            if os.geteuid() == 0:
                os.fchown(fd, owner.st_uid, owner.st_gid)  # root writes it for the user the house runs as
            os.fsync(fd)
        Path(draft).replace(place)
    finally:
        Path(draft).unlink(missing_ok=True)  # gone already, unless something failed above
