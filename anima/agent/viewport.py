"""What the model sees of a conversation: whole turns, newest first, within a budget of tokens. Pure.

    | left out | in brief | as rewritten when the window was laid | grown since, to the letter |
               ^ since    ^ brief                               ^ (turn, step)

Where the window begins stays put while it grows, so that what a provider has cached stays true; when it has grown to its
limit it is laid anew, and only then is anything rewritten: superfluous results become notes, big ones head and tail, turns
that are too long are told by question and answer. A turn too long for any window is rewritten itself, older results first.

Events lie in the journal in the order they happened: a question asked while an older one was being answered stands
before that answer, and what a tool returned may stand behind the end of a turn that was interrupted. Here each answer
stands behind its own question and each result behind its own call, so a model never reads them crossed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from anima.agent.inbox import Open
from anima.agent.rewrite import Laid, rewritten
from anima.agent.scroll import Scroll, Told
from anima.nous.model import Message
from anima.nous.tokens import estimate_message
from anima.wire.events import Event

KEPT_CHARS = (8_000, 2_000, 400, 100)  # of a result that is rewritten; less only if the turn at hand does not fit otherwise


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of a conversation is shown, in tokens as `estimate` counts them."""

    room: int  #: for all of it
    fill: float = 0.3  #: share of the room that is filled when the window is laid
    reset: float = 0.9  #: share at which it is laid anew

    @property
    def start(self) -> int:
        """Tokens of a window newly laid."""
        return int(self.room * self.fill)

    @property
    def limit(self) -> int:
        """Tokens of a window fully grown."""
        return int(self.room * self.reset)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a window was laid: with it and the journal the same bytes come about again."""

    since: int  #: seq of the first question shown
    brief: int  #: turns asked up to this seq are told by question and answer
    turn: int  #: seq of the message that was thought about at that time
    step: int  #: the last of its steps that was rewritten
    chars: int  #: what a rewritten result keeps

    def fields(self) -> list[int]:
        """As a `model_called` keeps it."""
        return [self.since, self.brief, self.turn, self.step, self.chars]


@dataclass(frozen=True, slots=True)
class Left:
    """Something of the conversation that the model does not see as it was."""

    what: str
    tokens: int  #: what it would have weighed more, estimated
    why: str


@dataclass(frozen=True, slots=True)
class View:
    """What the model sees of a conversation."""

    messages: tuple[Message, ...]  #: oldest first
    tokens: int  #: of them, estimated
    layout: Layout
    left: tuple[Left, ...] = ()
    turns: int = 0  #: how many turns are shown, the one at hand included


def look(turns: Sequence[Told], own: Told, layout: Layout | None, shape: Shape, covered: int = 0) -> View:
    """The window: as it was laid, if it has not grown to its limit, else laid anew. `turns` came before `own`.

    It leaps as soon as a snapshot stands for what is asked before `covered`, and to there: nothing is skipped.
    """
    if layout:
        if layout.since < covered <= own.seq:
            view = _view(turns, own, _from(covered, turns, lay(turns, own, shape)))
            if view.tokens <= shape.limit:
                return view
        view = _view(turns, own, layout)
        if view.tokens <= shape.limit:
            return view
    return _view(turns, own, lay(turns, own, shape))


def lay(turns: Sequence[Told], own: Told, shape: Shape) -> Layout:
    """A new window around the turn at hand, which is always shown; older turns while they fit into its start."""
    layout, tokens = _around(own, shape)
    everything = _show([*turns, own], replace(layout, since=0))
    left = shape.start - tokens
    for shown in reversed(everything[:-1]):
        left -= shown.tokens
        if left < 0:
            return _in_brief(turns, layout, left + shown.tokens)
        layout = replace(layout, since=shown.told.seq)
    return layout


def _from(covered: int, turns: Sequence[Told], layout: Layout) -> Layout:
    """The layout with its window beginning at `covered`; what it would have left out behind that is told in brief."""
    brief = max((told.seq for told in turns if covered <= told.seq < layout.since), default=layout.brief)
    return replace(layout, since=covered, brief=max(brief, layout.brief))


def _in_brief(turns: Sequence[Told], layout: Layout, left: int) -> Layout:
    """Tell of those before the window by question and answer, the newest first, while they fit into what is left."""
    brief = 0
    for told in reversed([told for told in turns if told.seq < layout.since]):
        left -= sum(map(estimate_message, told.brief()))
        if left < 0:
            break
        brief = brief or told.seq
        layout = replace(layout, since=told.seq, brief=brief)
    return layout


def _around(own: Told, shape: Shape) -> tuple[Layout, int]:
    """The layout with the turn at hand alone, and its tokens: rewritten no more than it must be, the newest step last."""
    last = max((step for step, _ in own.steps()), default=0)
    whole = Layout(own.seq, 0, own.seq, 0, KEPT_CHARS[0])
    if own.tokens() <= shape.limit:
        return whole, own.tokens()
    tried = [replace(whole, step=step, chars=chars) for step in (max(0, last - 1), last) for chars in KEPT_CHARS]
    weighed = [(layout, _show([own], layout)[0].tokens) for layout in tried]
    half = (shape.start + shape.limit) // 2  # or else the next step would have it rewritten again
    fitting = [each for most in (half, shape.limit) for each in weighed if each[1] <= most]
    return fitting[0] if fitting else weighed[-1]


@dataclass(frozen=True, slots=True)
class _Shown:
    told: Told
    messages: Sequence[Message]
    tokens: int
    left: Sequence[Left] = ()


def _view(turns: Sequence[Told], own: Told, layout: Layout) -> View:
    shown = _show([*(told for told in turns if told.seq >= layout.since), own], layout)
    left = [outside(told.question, told.tokens()) for told in turns if told.seq < layout.since]
    return View(
        tuple(message for each in shown for message in each.messages),
        sum(each.tokens for each in shown),
        layout,
        (*left, *(one for each in shown for one in each.left)),
        len(shown),
    )


def outside(question: str, tokens: int) -> Left:
    """A turn before the window."""
    return Left("a turn, " + _words(question), tokens, "it is older than the window")


def _show(turns: Sequence[Told], layout: Layout) -> list[_Shown]:
    """The turns as the layout wants them, oldest first."""
    brief = [told for told in turns if told.seq <= layout.brief]
    whole = [told for told in turns if told.seq > layout.brief]
    laid = rewritten(whole, Laid(layout.turn, layout.step, layout.chars))
    shown = [
        _Shown(told, messages, told.tokens() - sum(gone for _, gone, _ in changes), [Left(*each) for each in changes])
        for told, (messages, changes) in zip(whole, laid, strict=True)
    ]
    return [*map(_briefly, brief), *shown]


def _briefly(told: Told) -> _Shown:
    messages = told.brief()
    tokens = sum(map(estimate_message, messages))
    gone = told.tokens() - tokens
    left = [Left("the steps of a turn, " + _words(told.question), gone, "the turn is too long for the window")] if gone else []
    return _Shown(told, messages, tokens, left)


def _words(question: str, chars_max: int = 40) -> str:
    line = " ".join(question.split())
    return repr(line if len(line) <= chars_max else f"{line[: chars_max - 1]}…")


def viewport(events: Iterable[Event], message: Open, tokens_max: int) -> tuple[Message, ...]:
    """The conversation up to and including `message` and what its turn already did, oldest first, newly laid.

    `events` are those of one session, oldest first. The message itself and its own turn are always shown; older turns
    while they fit. Questions asked after `message` are left out. Raises BadMessage for a malformed event.
    """
    scroll = Scroll()
    scroll.apply(events)
    return look(scroll.before(message), scroll.own(message), None, Shape(tokens_max, fill=1.0, reset=1.0)).messages
