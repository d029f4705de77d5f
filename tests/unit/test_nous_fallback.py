"""Several models that answer as one: in order, with a word about it, and with the name of the one that answered."""

import asyncio
import json
from dataclasses import replace

import pytest
from nous_chat_server import chats, fails
from nous_messages_server import Server

from anima.clock import FakeClock
from anima.config.schema import Definition, Models
from anima.errors import ConfigError, Refused, Unavailable
from anima.nous.choose import Access, open_model
from anima.nous.fallback import REST_S, Chain, Link
from anima.nous.model import Done, Message, Overflow, Reply, Request, Restart, Text
from anima.nous.retry import Policy

HELLO = Request("", (Message("user", "hello"),))
QUICK = Policy(delay_s=0.01, delay_max_s=0.02, total_s=0.1)


class Says:
    """A model that says one thing, or fails after its first words."""

    def __init__(self, name: str, *failures: Exception) -> None:
        self.name = name
        self.failures = list(failures)
        self.asked = 0
        self.closed = False

    async def stream(self, request: Request):
        self.asked += 1
        yield Text(f"{self.name} ")
        if self.failures:
            raise self.failures.pop(0)
        yield Text("speaks")
        yield Done("end_turn", 1, 1)

    async def close(self) -> None:
        self.closed = True


def chain(*models: Says, clock: FakeClock | None = None) -> Chain:
    return Chain("mine", tuple(Link(each.name, lambda each=each: each) for each in models), clock or FakeClock())


def ask(model) -> tuple[list, Reply]:
    async def go() -> tuple[list, Reply]:
        deltas, reply = [], Reply()
        async for delta in model.stream(HELLO):
            deltas.append(delta)
            reply.add(delta)
        return deltas, reply

    return asyncio.run(go())


def test_the_first_model_answers_and_is_named():
    one, two = Says("one"), Says("two")
    _, reply = ask(chain(one, two))
    assert (reply.text, reply.done.model, two.asked) == ("one speaks", "one", 0)


@pytest.mark.parametrize("failure", [Refused("it is forbidden"), Unavailable("it is away"), ConfigError("it has no key")])
def test_where_the_first_cannot_the_next_answers_and_the_reason_is_told(failure):
    deltas, reply = ask(chain(Says("one", failure), Says("two")))
    assert [each for each in deltas if isinstance(each, Restart)] == [Restart(f"{failure}; two answers instead")]
    assert (reply.text, reply.done.model) == ("two speaks", "two")


def test_a_mistake_of_ours_is_not_covered_up():
    with pytest.raises(RuntimeError):
        ask(chain(Says("one", RuntimeError("a bug")), Says("two")))


def test_a_conversation_that_is_too_long_is_told_at_once():
    two = Says("two")
    with pytest.raises(Overflow):
        ask(chain(Says("one", Overflow("too long")), two))
    assert two.asked == 0


def test_when_none_can_answer_one_sentence_tells_about_all():
    with pytest.raises(Unavailable, match="none of 2 models can answer: it is forbidden; it is away"):
        ask(chain(Says("one", Refused("it is forbidden")), Says("two", Unavailable("it is away"))))
    with pytest.raises(Refused, match="none of 2"):
        ask(chain(Says("one", Refused("a")), Says("two", Refused("b"))))
    with pytest.raises(Refused, match=r"^only this$"):
        ask(chain(Says("one", Refused("only this"))))


def test_a_model_that_was_away_rests_while_another_answers():
    clock = FakeClock()
    one, two = Says("one", Unavailable("away"), Unavailable("away")), Says("two")
    model = chain(one, two, clock=clock)
    assert ask(model)[1].done.model == "two"
    deltas, _ = ask(model)
    assert (one.asked, not [each for each in deltas if isinstance(each, Restart)]) == (1, True)
    clock.advance(REST_S)
    assert ask(model)[1].done.model == "two"
    assert one.asked == 2
    clock.advance(REST_S)
    assert ask(model)[1].done.model == "one"


def test_a_model_that_rests_is_asked_if_no_other_can_answer():
    one = Says("one", Unavailable("away"))
    model = chain(one, Says("two", Unavailable("away")))
    with pytest.raises(Unavailable):
        ask(model)
    assert ask(model)[1].done.model == "one"


def test_closing_closes_all_that_were_opened():
    one, two, three = Says("one", Refused("no")), Says("two"), Says("three")
    model = chain(one, two, three)
    ask(model)
    asyncio.run(model.close())
    assert (one.closed, two.closed, three.closed) == (True, True, False)


def test_fallbacks_are_the_agent_s_else_the_definition_s_else_the_house_s():
    mine = Definition(base_url="http://x", model="m", fallbacks=("scripted:d",))
    access = Access(models=Models(fallbacks=("scripted:h",)), definitions={"mine": mine})
    assert "scripted:a" in repr(open_model("mine", access, ("scripted:a",)))
    assert "scripted:d" in repr(open_model("mine", access))
    assert "scripted:h" in repr(open_model("reflex", access))
    assert "scripted" not in repr(open_model("mine", Access(definitions={"mine": replace(mine, fallbacks=())})))


def test_a_missing_key_is_covered_by_a_fallback_and_told():
    model = open_model("openai:m", Access(), ("reflex",))
    deltas, reply = ask(model)
    assert "needs a key" in next(each.reason for each in deltas if isinstance(each, Restart))
    assert reply.done.model == "reflex"
    with pytest.raises(ConfigError, match=r"openai:m needs a key: set OPENAI_API_KEY .*models.openai_api_key in anima.toml"):
        open_model("openai:m", Access())


def test_a_provider_that_is_down_hands_over_within_its_patience():
    async def go() -> tuple[Reply, Server, Server]:
        async with Server(fails(503)) as down, Server(chats("I am here")) as up:
            definitions = {
                "one": Definition(base_url=down.url, model="m", retry_s=0.2),
                "two": Definition(base_url=up.url, model="n", fallbacks=()),
            }
            model = open_model("one", Access(definitions=definitions, policy=QUICK), ("two",))
            reply = Reply()
            async for delta in model.stream(HELLO):
                reply.add(delta)
            await model.close()
            return reply, down, up

    reply, down, up = asyncio.run(go())
    assert (reply.text, reply.done.model, reply.restarts) == ("I am here", "two:n", 1)
    assert len(down.requests) > 1
    assert json.dumps(up.requests).count("hello") == 1
