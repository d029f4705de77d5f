"""The one door: what a jailed child is asked to run, and what it answers. Everything in and out is plain and msgpack-able.

    run(name, args, context)                    -> {ok, text, data}
    prepare(name, args, context)                -> {ok, text, data}    data is what `probe` will need
    probe(name, args, context, prepared)        -> {ok, text, data: {verdict}}
    plan(name, args, context)                   -> {ok, text, data}    for tools of the runtime: what to wait for
    catalogue(context)                          -> {ok, text, data: {tools, problems}}

Nothing a tool or its caller does comes out as an exception: the answer is always a map with a sentence.
"""

import contextlib
import importlib
import json
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack

from anima.errors import AnimaError, BadMessage
from anima.limits import tool_result_bytes_max, tool_spill_bytes_max
from anima.tools.context import Context
from anima.tools.files.disk import explain
from anima.tools.registry import find_built_in, load
from anima.tools.schema import check_args, expected
from anima.tools.text import cut, sendable
from anima.tools.tool import Interrupted, Result, Tool, ToolError, Verdict
from anima.wire.cards import Card

log = logging.getLogger("anima.tools")


def run(name: str, args: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Call one tool; see the top of this file."""
    with interruptible():
        return answer(lambda: perform(name, args, Context.read(context)))


def prepare(name: str, args: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """What the world looks like before a checkable call: stored with its start, read by `probe`."""

    def ask() -> Result:
        ctx = Context.read(context)
        card, _ = _find(name, ctx)
        checked = _checked(card, args)
        return Result(ok=True, text="", data=_named(card.prepare)(checked, ctx) if card.prepare else {})

    return answer(ask)


def probe(name: str, args: Mapping[str, Any], context: Mapping[str, Any], prepared: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a checkable call whose end nobody knows took place: done, undone or unknown."""

    def ask() -> Result:
        ctx = Context.read(context)
        card, _ = _find(name, ctx)
        if not card.probe:
            raise ToolError(f"{name} is {card.effect}; only checkable tools can be asked whether they acted")
        blind = bool(card.prepare) and not prepared
        verdict: Verdict = "unknown" if blind else _named(card.probe)(_checked(card, args), ctx, prepared)
        return Result(ok=True, text=f"{name}: {verdict}", data={"verdict": verdict})

    return answer(ask)


def plan(name: str, args: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Check a call that the runtime itself carries out (ask_person, sleep_until); `data` says what to wait for."""

    def ask() -> Result:
        ctx = Context.read(context)
        card, function = _find(name, ctx)
        if card.place != "runtime":
            raise ToolError(f"{name} is carried out in a child, not by the runtime")
        return _call(card, function, args, ctx)

    return answer(ask)


def catalogue(context: Mapping[str, Any]) -> dict[str, Any]:
    """Every tool there is, with those of packages and of the house, and what kept others out."""

    def ask() -> Result:
        found = load(Context.read(context).extra)
        data = {"tools": [card.fields() for card in found.tools.values()], "problems": found.problems}
        return Result(ok=not found.problems, text="\n".join(found.problems), data=data)

    return answer(ask)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within this, SIGTERM ends the call instead of the process: it answers with what it has so far."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; a second one must not break the answer
        raise Interrupted

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def perform(name: str, args: Mapping[str, Any], ctx: Context) -> Result:
    """Call one tool and cut what it says to what may be said. Raises ToolError and whatever the tool raises."""
    card, function = _find(name, ctx)
    if card.place == "runtime":
        raise ToolError(f"{name} cannot be carried out here: only the runtime can wait, and it did not take the call")
    result = _call(card, function, args, ctx)
    limit = min(card.output_bytes, ctx.output_bytes)
    text = sendable(result.text)
    whole = text.encode()
    if len(whole) <= limit:
        return Result(result.ok, text, result.data)
    kept = _spill(whole, ctx)
    where = f"the whole is in {kept}: page through it with read_file" if kept else "ask for less at once to see the rest"
    return Result(
        result.ok, cut(whole, limit, where), {**result.data, "bytes": len(whole), **({"whole": kept} if kept else {})}
    )


def _call(card: Tool, function: Callable[..., Any], args: Any, ctx: Context) -> Result:
    given = _checked(card, args)
    if _wants_context(function):
        given["ctx"] = ctx
    return _as_result(function(**given))


def _find(name: str, ctx: Context) -> tuple[Tool, Callable[..., Any]]:
    found = find_built_in(name)
    registry = None
    if found is None:
        registry = load(ctx.extra)
        found = registry.find(name)
    allowed = ctx.tools is None or name in ctx.tools
    if found is not None and allowed:
        return found
    if found is not None:
        raise ToolError(f"the tool '{name}' is not among those this agent may use; list_tools shows which are")
    near = [each for each in (registry.nearest(name) if registry else []) if ctx.tools is None or each in ctx.tools]
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ToolError(f"there is no tool '{name}'{meant} (list_tools shows all)")


def _checked(card: Tool, args: Any) -> dict[str, Any]:
    given, complaint = check_args(card.schema, args)
    if complaint:
        raise ToolError(wrong_with(card, args))
    return given


def wrong_with(card: Tool | Card, args: Any) -> str:
    """What is wrong with the arguments of a call, with the schema they should have; "" if nothing. Runs no tool."""
    _, complaint = check_args(card.schema, args)
    return f"wrong arguments for {card.name}: {complaint}. It expects: {expected(card.schema)}" if complaint else ""


def _wants_context(function: Callable[..., Any]) -> bool:
    return "ctx" in function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]


def _as_result(found: Any) -> Result:
    if isinstance(found, Result):
        return found
    if isinstance(found, str):
        return Result(ok=True, text=found)
    if found is None:
        return Result(ok=True, text="done")
    data = found if isinstance(found, dict) else {"value": found}
    return Result(ok=True, text=json.dumps(found, ensure_ascii=False, indent=1), data=data)


def _spill(whole: bytes, ctx: Context) -> str:
    """Keep a long text beside the call; "" if it cannot be kept, which costs the middle of the text and nothing else."""
    if ctx.spill is None:
        return ""
    path = ctx.spill / f"{Path(ctx.call).name or 'result'}.txt"
    try:
        path.write_bytes(whole[:tool_spill_bytes_max])
    except OSError as error:
        log.warning("the whole result of %s is not kept at %s: %s", ctx.call, path, error)
        return ""
    return str(path)


def _named(address: str) -> Callable[..., Any]:
    module, _, name = address.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def answer(ask: Callable[[], Result]) -> dict[str, Any]:
    """What `ask` says, or why it cannot, as a map that fits the pipe."""
    try:
        result = ask()
    except ToolError as error:
        result = Result(ok=False, text=str(error))
    except (BadMessage, AnimaError) as error:
        result = Result(ok=False, text=f"the call could not be made: {error}")
    except Interrupted:
        result = Result(ok=False, text="interrupted", data={"reason": "interrupted"})
    except MemoryError:
        result = Result(ok=False, text="the tool needed more memory than it may have; ask for less at once")
    except OSError as error:
        log.exception("an error of the system came through a tool")
        result = Result(ok=False, text=explain(error))
    except (Exception, SystemExit) as error:  # a tool is foreign code; the model gets a sentence, the log the rest
        log.exception("a tool broke")
        result = Result(
            ok=False, text=f"the tool broke ({type(error).__name__}); that is a mistake in the tool, not in the call"
        )
    found = {"ok": bool(result.ok), "text": sendable(str(result.text)), "data": dict(result.data)}
    try:
        size = len(msgpack.packb(found))
    except (TypeError, ValueError, OverflowError):
        return {**found, "data": {"left_out": "the tool's data cannot be sent"}}
    return (
        found
        if size <= tool_result_bytes_max
        else {**found, "data": {"left_out": f"the tool's data is too large ({size} bytes)"}}
    )
