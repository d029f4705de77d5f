"""How this agent thinks: its model, opened when first needed, and what that model is told around a conversation."""

import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from anima.agent.dialect import spelled
from anima.agent.folder import Folder
from anima.agent.gauge import Gauge
from anima.agent.hooks import Hooks
from anima.agent.inserts import Insert, around, last_words
from anima.agent.prompt import about_tools, system_prompt
from anima.agent.purse import Means, means
from anima.agent.shelf import Shelf
from anima.agent.tape import Recorder, Tape
from anima.agent.toolbox import Toolbox, specs
from anima.agent.viewport import Shape
from anima.clock import host_time_zone
from anima.config.schema import House
from anima.errors import ConfigError
from anima.nous.choose import Access, Choice, about, chain_of, choose, fast_model, open_model
from anima.nous.model import Delta, Message, Model, Reply, Request
from anima.nous.ollama import probe
from anima.nous.prices import Price
from anima.nous.tokens import estimate_request
from anima.purser.limits import resolved
from anima.tools.formats import Parsed, parse_calls
from anima.tools.tool import Tool

WINDOW_USUAL_TOKENS = 120_000  # a larger one costs much and is read less carefully
WINDOW_UNKNOWN_TOKENS = 32_000  # of a model nobody knows; models/NAME.toml may say more
_MANY = 1_000_000  # so many tokens tell the ratio of two ways to count them


class Thinker:
    """One model and the prompt around it. An agent whose model cannot be opened still lives, and says so when asked."""

    def __init__(self, folder: Folder, house: House, model: Model | None = None) -> None:
        self._folder = folder
        self._access = Access(os.environ, folder.place, house.models, house.definitions)
        self._choice = _choose(folder.settings.model or house.models.default, self._access)
        self._model = model  # answers instead of all others
        self._models: dict[str, Model] = {}
        self.hooks = Hooks(folder.settings.reflection.hooks)
        self._budget = resolved(folder.settings.budget, house.budget)
        self.metered: Callable[[Model, tuple[str, ...]], Model] = (
            _refusing  #: by whom it is paid for, put around a model that is opened
        )
        self._started_at = time.time()
        self._weighed: dict[tuple[str, ...], int] = {}  # tokens of prompts, by what they consist of
        self.recorder = Recorder(Shelf(folder.records, house.record.keep_days) if house.record.on else None)
        self.toolbox = Toolbox(folder.name, folder.settings.policy)
        self.gauge = Gauge()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, sort: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.toolbox.close()
        self.recorder.close()
        for model in (*self._models.values(), *([self._model] if self._model else [])):
            await model.close()

    @property
    def model(self) -> str:
        """The model's name, as provider:model."""
        return self._choice.model_name

    def means(self) -> Means:
        """What may be spent on the model, and what it costs."""
        chain = chain_of(self._choice.model_name, self._access, self._folder.settings.fallbacks)
        zone = self._folder.settings.time_zone or host_time_zone()
        return means(self._folder, self._budget, zone, self._price, chain)

    def _price(self, name: str) -> Price | None:
        try:
            return about(name, self._access).price
        except ConfigError:
            return None

    @property
    def fast(self) -> str:
        """The name of the model for small chores; "" if nothing is configured."""
        name = fast_model(self._folder.settings.fast_model, "", self._access)
        return "" if name == self.model else name

    @property
    def judge(self) -> str:
        """The name of the model that evaluates drafts."""
        settings = self._folder.settings
        return settings.reflection.model.strip() or fast_model(settings.fast_model, self.model, self._access)

    @property
    def resting(self) -> str:
        """What an idle agent says of itself: who thinks here, and whether that was chosen."""
        return f"idle ({self.model}{', by default' if self._choice.why else ''})"

    @property
    def writes_calls(self) -> bool:
        """Whether the model writes its tool calls as text, to be understood by `understood`."""
        return self._folder.settings.policy.tool_format != "native"

    def understood(self, reply: str) -> Parsed:
        """The calls in the text of a reply. Whatever the agent may use may be called, shown or not."""
        return parse_calls(reply, self.toolbox.allowed())

    def ask(
        self,
        conversation: tuple[Message, ...],
        session: str,
        attempt: int,
        hint: str = "",
        inserts: Sequence[Insert] = (),
        tape: Tape | None = None,
    ) -> AsyncIterator[Delta]:
        """The model's answer as it comes; `hint` is the text that says which tools may be needed. `tape` overhears it.

        If the tape names another model, or another length of thinking, that one is asked the same as this one would be.

        Raises Refused, ConfigError or Unavailable, here or while it streams.
        """
        tape = tape or Tape()
        tape.model = tape.model or self.model
        model = self._opened(tape.model)
        conversation = around(conversation, inserts)
        facts = {**self.facts(), "now": repr(time.time()), "started_at": repr(self._started_at), "attempt": str(attempt)}
        tools = self.toolbox.shown(hint)
        form = self._folder.settings.policy.tool_format
        request = Request(
            system=self._system(facts, tools),
            messages=spelled(conversation, form) if self.writes_calls else conversation,
            tools=() if self.writes_calls else specs(tools),
            tokens_max=self._folder.settings.answer_tokens_max,
            thinking_tokens_max=self._folder.settings.thinking_tokens_max
            if tape.thinking_tokens_max < 0
            else tape.thinking_tokens_max,
            session=session,
            agent=self._folder.name,
            facts=facts,
            reminder=last_words(self._folder.always, inserts),
        )
        return self._stream(model, request, tape)

    def quick(self, request: Request) -> AsyncIterator[Delta]:
        """What the model for small chores says to a request of its own. Raises as `ask`."""
        name = self.fast or self.model
        return self._opened(name).stream(request)

    async def _stream(self, model: Model, request: Request, tape: Tape) -> AsyncIterator[Delta]:
        """The model's answer, with the hooks around it."""
        request, changed = await self.hooks.before_model(request)
        tape.request, tape.about = request, self._about() | ({"changed_by": changed} if changed else {})
        async for delta in tape.overhear(model.stream(request)):
            yield delta
        if await self.hooks.looks_at_replies():
            reply = Reply()
            for delta in tape.deltas:
                reply.add(delta)
            await self.hooks.after_model(request, reply)

    def _opened(self, name: str) -> Model:
        if self._model:
            return self._model
        if name not in self._models:
            fallbacks = self._folder.settings.fallbacks if name == self.model else ()
            self._models[name] = self.metered(
                open_model(name, self._access, fallbacks), chain_of(name, self._access, fallbacks)
            )
        return self._models[name]

    def _about(self) -> dict[str, Any]:
        """What shapes a request and does not show in it."""
        settings = self._folder.settings
        return {
            "tool_format": settings.policy.tool_format,
            "tools_shown_max": settings.policy.tools_shown_max,
            "foreign": self.toolbox.foreign_cards(),
        }

    def weigh(self, hint: str, inserts: Sequence[Insert] = ()) -> int:
        """Estimated tokens of everything the model is told around a conversation."""
        tools = self.toolbox.shown(hint)
        native = not self.writes_calls
        key = (*(tool.name for tool in tools), *(insert.text for insert in inserts))
        if key not in self._weighed:
            self._weighed = {
                key: estimate_request(
                    Request(
                        self._system(self.facts(), tools),
                        around((), inserts),
                        specs(tools) if native else (),
                        reminder=last_words(self._folder.always, inserts),
                    )
                )
            }
        return self._weighed[key]

    def shape(self, prompt_tokens: int, share: float = 1.0) -> Shape:
        """How much of a conversation fits beside a prompt of so many estimated tokens, into `share` of the window."""
        settings = self._folder.settings
        window = int(self.window_tokens * share / self.gauge.of(self.model).at_most(_MANY) * _MANY)
        return Shape(max(window - prompt_tokens, window // 4), settings.viewport.fill, settings.viewport.reset)

    @property
    def window_tokens(self) -> int:
        """How much the model is given at most, in its own tokens: as much as is configured, if it takes that and an answer."""
        settings = self._folder.settings
        usual = settings.viewport.window_tokens
        try:
            window = about(self.model, self._access).window_tokens
        except ConfigError:
            window = 0  # whoever asks such a model is told what is wrong with it
        if not window:
            return usual or WINDOW_UNKNOWN_TOKENS
        return min(usual or WINDOW_USUAL_TOKENS, max(window - settings.answer_tokens_max, window // 2))

    def facts(self) -> Mapping[str, str]:
        """What does not change while this process lives."""
        zone = self._folder.settings.time_zone or host_time_zone()
        return {"agent": self._folder.name, "model": self.model, "host": socket.gethostname(), "time_zone": zone}

    def _system(self, facts: Mapping[str, str], tools: Sequence[Tool]) -> str:
        who = "\n\n".join(text.strip() for text in (self._folder.persona, self._folder.soul) if text.strip())
        return system_prompt(who, facts, about_tools(tools, self._folder.settings.policy, self._folder.workspace))

    async def system(self, _: dict[str, Any]) -> dict[str, str]:
        """Answer `animactl system`: the prompt as the model gets it, the model, and why it is this one."""
        return {
            "system": self._system(self.facts(), list(self.toolbox.allowed().values())),
            "always": self._folder.always,
            "model": self.model,
            "why": self._choice.why,
        }


def _refusing(_: Model, __: tuple[str, ...]) -> Model:
    raise ConfigError("nobody pays for this agent's model; that is a mistake of this program, please report it")


def _choose(configured: str, access: Access) -> Choice:
    """The model to ask. A name that cannot be one is kept: whoever asks the agent is told, when the model is opened."""
    try:
        return choose(configured, access, probe)
    except ConfigError as error:
        return Choice(configured, str(error))
