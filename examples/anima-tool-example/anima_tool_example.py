"""word_count: an example of a tool that comes with a package. It runs inside the jail, like every other."""

from anima.tools.context import Context
from anima.tools.tool import Result, ToolError, tool

_PIECE_BYTES = 65_536


@tool(risk="safe", effect="pure", wall_s=30, keywords=("count", "words", "length"))
def word_count(ctx: Context, path: str) -> Result:
    """Count the words of a text file.

    Args:
        path: the file; relative paths begin in the workspace
    """
    words = 0
    inside = False
    try:
        with (ctx.workdir / path).open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                pieces = piece.split()
                words += len(pieces) - (inside and not piece[:1].isspace())
                inside = not piece[-1:].isspace()
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror}; list_directory shows what is there") from error
    return Result(ok=True, text=f"{path} has {words} words", data={"words": words})
