"""Other environments to move a house to: a folder like that of `python -m venv`, made in no time, with a code of its own."""

import shutil
import sys
import sysconfig
from pathlib import Path

REPO = Path(__file__).parent.parent.parent


def environment(folder: Path, *, copied: bool = True) -> Path:
    """A new environment in `folder`; with `copied` it has this program as a copy in `folder/code`, to be broken at will."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys._base_executable)
    home = Path(sys._base_executable).parent
    (folder / "pyvenv.cfg").write_text(
        f"home = {home}\ninclude-system-site-packages = false\nversion = {sys.version.split()[0]}\n"
    )
    code = folder / "code" if copied else REPO
    if copied:
        for package in ("anima", "daemons"):
            shutil.copytree(REPO / package, code / package)  # with what was compiled, which holds for the copies as well
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    site.mkdir(parents=True)
    (site / "this.pth").write_text(f"{code}\n{sysconfig.get_path('purelib')}\n")
    return folder


def change(folder: Path, file: str, old: str, new: str) -> None:
    """Put `new` in place of `old` in a file of the copied code."""
    path = folder / "code" / file
    text = path.read_text()
    assert old in text, f"{file} has changed; the test must be told what to break now"
    path.write_text(text.replace(old, new, 1))
