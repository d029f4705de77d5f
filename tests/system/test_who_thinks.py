"""Which model answers in a running house: definitions, fallbacks, what a key or an Ollama decides, and a change of mind."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.system.conftest import House, eventually
from tests.system.test_bad_input import one_sentence

pytestmark = pytest.mark.system

DEAD = "http://127.0.0.1:1/v1"


class Ollama(BaseHTTPRequestHandler):
    """As much of an Ollama as a house asks of it."""

    def do_GET(self) -> None:
        self._answer({"models": [{"name": "qwen9:8b"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = {"role": "assistant", "content": f"I am {asked['model']}."}
        usage = {"prompt_tokens": 5, "completion_tokens": 4}
        self._answer({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

    def _answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def ollama() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ollama) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def define(house: House, name: str, **fields: Any) -> None:
    folder = house.home.root / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()))


def called(house: House) -> list[str]:
    """The models that answered, as the journal has it."""
    return [each["data"]["model"] for each in house.events() if each["kind"] == "model_called"]


def test_a_model_that_is_away_is_stood_in_for_and_the_journal_says_by_whom(house: House) -> None:
    define(house, "mine", base_url=DEAD, model="m", retry_s=0.1, fallbacks=["reflex"])
    house.agent("arya", model="mine")
    house.start()
    assert "84" in house.ask("arya", "what is 12 * (3 + 4)?")
    assert called(house) == ["reflex"]
    answers = [each["data"] for each in house.events() if each["kind"] == "agent_message"]
    assert [each["model"] for each in answers] == ["reflex"]
    assert house.audit()["answered"] == 1
    assert "reflex answers instead" in house.log("agent:arya")


def test_when_nobody_can_answer_one_sentence_says_why_of_all(house: House) -> None:
    define(house, "mine", base_url=DEAD, model="m", retry_s=0.1, fallbacks=["openai:m"])
    house.agent("arya", model="mine")
    house.start()
    one_sentence(house.ctl("ask", "arya", "hello"), "none of 2 models can answer", DEAD, "OPENAI_API_KEY")
    assert house.audit()["failed"] == 1


def test_an_ollama_on_this_machine_answers_where_nothing_is_configured_and_it_is_told(house: House) -> None:
    with ollama() as address:
        house.environ["OLLAMA_HOST"] = address
        house.agent("arya", model="")
        house.start()
        assert house.ask("arya", "who are you?") == "I am qwen9:8b."
        assert called(house) == ["ollama:qwen9:8b"]
        told = house.ctl("system", "arya")
        assert f"an Ollama answers at http://{address}" in told.stderr
        assert "`model` in agent.toml changes it" in told.stderr
        listed = [json.loads(line) for line in house.ctl("models", "--json", "--check").stdout.splitlines()]
        assert [each["key"] for each in listed if each["name"] == "ollama:qwen9:8b"] == ["works"]


def test_a_changed_definition_is_taken_up_by_a_reload_and_a_wrong_one_is_not(house: House) -> None:
    with ollama() as address:
        define(house, "mine", base_url=f"http://{address}/v1", model="one")
        house.agent("arya", model="mine")
        house.start()
        assert house.ask("arya", "who are you?") == "I am one."
        define(house, "mine", base_url=f"http://{address}/v1", modle="two")
        one_sentence(house.ctl("reload"), "mine.toml:2: modle: unknown key; did you mean 'model'?")
        assert house.ask("arya", "who are you?") == "I am one."
        before = house.pid("agent:arya")
        define(house, "mine", base_url=f"http://{address}/v1", model="two")
        assert house.ctl("reload").returncode == 0
        house.until_up("agent:arya", other_than=before)
        assert eventually(lambda: house.ask("arya", "who are you?"), "no answer") == "I am two."
