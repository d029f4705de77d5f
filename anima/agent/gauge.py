"""How many tokens a text weighs for the models of one agent: what each reply reported corrects the next estimate."""

from anima.bus.bus import Bus
from anima.nous.tokens import Estimator, estimator
from anima.wire.events import Event, ModelCalled
from anima.wire.frames import Query

REMEMBERED_CALLS = 50  # of the journal, after a restart: more would hardly change anything


class Gauge:
    """What is known of each model's tokens, by the model's name."""

    def __init__(self) -> None:
        self._known: dict[str, Estimator] = {}
        self._remembered = False

    def of(self, model: str) -> Estimator:
        """What is known of a model."""
        return self._known.get(model) or estimator(model)

    def learn(self, called: ModelCalled) -> None:
        """Take what a reply reported."""
        if called.tokens_estimated:
            self._known[called.model] = self.of(called.model).after(called.tokens_estimated, called.tokens_in)

    async def remember(self, bus: Bus, agent: str) -> None:
        """Learn from the calls the journal knows of, once in the life of this process."""
        if self._remembered:
            return
        query = Query(agent=agent, kinds=("model_called",), newest=True, limit=REMEMBERED_CALLS)
        page = await bus.read(query, timeout_s=float("inf"))
        if not self._remembered:
            self._remembered = True
            self.replay(page.events)

    def replay(self, events: list[Event]) -> None:
        """Learn from past calls, oldest first. Raises BadMessage for a malformed body."""
        for event in events:
            if isinstance(body := event.body, ModelCalled):
                self.learn(body)
