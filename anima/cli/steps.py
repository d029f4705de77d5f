"""Doing several things to a machine, all of them or none: each step knows its way back."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from anima.cli.terminal import note
from anima.errors import AnimaError, Refused

Act = Callable[[], object]


@dataclass(slots=True)
class Steps:
    """What is done, in order; with `dry` it is only told."""

    dry: bool = False
    _back: list[tuple[str, Act]] = field(default_factory=list)

    def do(self, what: str, act: Act, back: Act | None = None, undone: str = "") -> None:
        """Tell `what`, then `act`. `back` undoes it, also after a failure half-way; `undone` says so."""
        print(f"would {what}" if self.dry else what, flush=True)
        if self.dry:
            return
        if back:
            self._back.append((undone, back))
        act()

    def promise(self, back: Act, undone: str) -> None:
        """What is to be done after everything that follows was undone."""
        if not self.dry:
            self._back.append((undone, back))

    def write(self, path: Path, text: str) -> None:
        """Write a file and the folders it needs; undone, it is what it was before."""
        before = path.read_bytes() if path.exists() else None
        made = [folder for folder in path.parents if not folder.exists()]

        def act() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

        def back() -> None:
            if before is not None:
                path.write_bytes(before)
                return
            path.unlink(missing_ok=True)
            for folder in made:
                if folder.exists() and not any(folder.iterdir()):
                    folder.rmdir()

        self.do(f"write {path}", act, back, f"{path} is as it was")

    def undo(self) -> list[str]:
        """Go back, last step first. What could not be undone, as sentences; the rest is undone all the same."""
        wrong = []
        while self._back:
            undone, back = self._back.pop()
            try:
                back()
                if undone:
                    note(f"undone: {undone}")
            except (AnimaError, OSError) as error:
                wrong.append(f"{error}")
        return wrong


def run(*words: str, timeout_s: float = 60.0, user: str = "", **environ: str) -> str:
    """What a command prints. Raises Refused with its own words if it fails, is missing, or takes too long."""
    import os

    who = {"user": user, "group": user, "extra_groups": []} if user else {}
    try:
        done = subprocess.run(  # type: ignore[call-overload]
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env={**os.environ, **environ},
            cwd="/",
            **who,
        )
    except FileNotFoundError:
        raise Refused(f"there is no {words[0]} here") from None
    except PermissionError as error:
        raise Refused(f"{words[0]} cannot be run{f' by the user {user}' if user else ''}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Refused(f"`{' '.join(words)}` did not end within {timeout_s:g} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Refused(f"`{' '.join(words)}` failed: {said[-1] if said else f'exit code {done.returncode}'}")
    out: str = done.stdout.strip()
    return out


def succeeds(*words: str) -> bool:
    """Whether a command can be run and ends well."""
    try:
        run(*words)
    except Refused:
        return False
    return True
