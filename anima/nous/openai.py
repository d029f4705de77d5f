"""Any model behind an API in one of OpenAI's dialects: chat completions, which everybody speaks, or responses.

Opens connections, asks, closes; what things mean is in openai_chat* and openai_responses, what goes wrong in openai_errors.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from anima.nous import openai_chat, openai_chat_answer, openai_responses
from anima.nous.exchange import Endpoint, Exchange, check_endpoint
from anima.nous.model import Delta, Done, Request
from anima.nous.openai_chat import Accent
from anima.nous.retry import Policy, Transient, stream_with_retries

DIALECTS = {"chat": "/chat/completions", "responses": "/responses"}


class OpenAI:
    """One model at one endpoint."""

    def __init__(self, exchange: Exchange, dialect: str, accent: Accent, policy: Policy) -> None:
        self._exchange = exchange
        self._endpoint = exchange.endpoint
        self._dialect = dialect
        self._accent = accent
        self._policy = policy

    @property
    def name(self) -> str:
        """As configured."""
        return self._endpoint.name

    def __repr__(self) -> str:
        return f"<{self.name} at {self._endpoint.url}>"

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See nous.model.Model."""
        return stream_with_retries(lambda: self._attempt(request), self._policy)

    async def close(self) -> None:
        """Close the pool of connections."""
        await self._exchange.close()

    async def _attempt(self, request: Request) -> AsyncGenerator[Delta, None]:
        if not request.messages:  # nobody asked, so nothing is answered
            yield Done("end_turn", 0, 0)
            return
        reading = self._reading(request)
        async with aclosing(self._exchange.ask(DIALECTS[self._dialect], self._render(request))) as documents:
            async for document in documents:
                for delta in reading.read(document):
                    yield delta
                if reading.failure:
                    raise self._exchange.judge(reading.failure)
        last = reading.end()
        if last is None:
            raise Transient(f"{self._endpoint.who} broke off in the middle of the answer")
        for delta in last:
            yield delta

    def _reading(self, request: Request) -> openai_chat_answer.Reading | openai_responses.Reading:
        if self._dialect == "responses":
            return openai_responses.Reading(request, self.name)
        return openai_chat_answer.Reading(request, self.name, self._accent)

    def _render(self, request: Request) -> dict[str, Any]:
        model, params = self._endpoint.model, self._endpoint.params
        if self._dialect == "responses":
            return {**openai_responses.render(request, model, self.name), **params}
        return {**openai_chat.render(request, model, self.name, self._accent), **params}


def open_openai(endpoint: Endpoint, dialect: str, accent: Accent, policy: Policy) -> OpenAI:
    """A model, ready to be asked; nothing is sent yet. Raises ConfigError for a key or an address that cannot be right."""
    return OpenAI(Exchange(check_endpoint(endpoint)), dialect, accent, policy)
