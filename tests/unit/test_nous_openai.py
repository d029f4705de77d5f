"""Both of OpenAI's dialects against a real local server: what is sent, what is understood, what goes wrong."""

import asyncio
import json
import ssl
import subprocess
from dataclasses import replace

import pytest
from nous_chat_server import answers, chats, chunk, data, fails, piece, plays, responds, usage, whole
from nous_messages_server import Line, Server

from anima.errors import ConfigError, Refused, Unavailable
from anima.nous.exchange import Endpoint
from anima.nous.model import Call, Done, Image, Message, Overflow, Reply, Request, Restart, Text, Thinking, ToolSpec
from anima.nous.openai import open_openai
from anima.nous.openai_chat import Accent, render
from anima.nous.openai_chat_answer import join
from anima.nous.presets import PRESETS
from anima.nous.retry import Policy

KEY = "sk-SECRET-0123456789"
QUICK = Policy(delay_s=0.01, delay_max_s=0.02, total_s=5)
IMPATIENT = Policy(delay_s=0.01, delay_max_s=0.02, total_s=0)
HELLO = Request("Be brief.", (Message("user", "hello"),))
EXEC = ToolSpec("exec", "runs a command", {"type": "object", "properties": {}})
PLAIN = Accent()
FULL = Accent(tokens_field="max_completion_tokens", effort=True, returns="reasoning_details")


def ask(*plays, request: Request = HELLO, dialect: str = "chat", accent: Accent = PLAIN, policy: Policy = QUICK, **endpoint):
    """Ask once; what came, folded, and the server that was asked."""

    async def go() -> tuple[list, Reply, Server]:
        async with Server(*plays) as server:
            told = {"name": "mine:m", "who": "Mine", "model": "m", "url": server.url, "key": KEY, **endpoint}
            model = open_openai(Endpoint(**told), dialect, accent, policy)
            deltas, reply = [], Reply()
            try:
                async with asyncio.timeout(20):
                    async for delta in model.stream(request):
                        deltas.append(delta)
                        reply.add(delta)
            finally:
                await model.close()
            return deltas, reply, server

    return asyncio.run(go())


# -- what is sent --------------------------------------------------------------------------------------------------------------


def test_a_chat_request_says_this_and_nothing_else():
    _, _, server = ask(chats("hi"))
    assert server.headers[0]["line"].startswith("POST /chat/completions ")
    assert server.headers[0]["authorization"] == f"bearer {KEY.lower()}"
    assert server.requests == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
            "max_tokens": 4096,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ]


def test_a_responses_request_says_this_and_nothing_else():
    _, _, server = ask(responds("hi"), dialect="responses", request=replace(HELLO, session="main", agent="arya"))
    assert server.headers[0]["line"].startswith("POST /responses ")
    assert server.requests == [
        {
            "model": "m",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}],
            "max_output_tokens": 4096,
            "store": False,
            "instructions": "Be brief.",
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"summary": "auto"},
            "prompt_cache_key": "arya/main",
            "stream": True,
        },
    ]


def test_a_model_that_cannot_think_is_not_asked_for_its_thoughts():
    _, _, server = ask(responds("hi"), dialect="responses", model="gpt-4o")
    assert not {"include", "reasoning"} & server.requests[0].keys()


@pytest.mark.parametrize(("tokens", "effort"), [(0, None), (1_000, "low"), (8_000, "medium"), (50_000, "high")])
def test_how_much_may_be_thought_is_said_in_openai_s_words(tokens, effort):
    request = replace(HELLO, thinking_tokens_max=tokens)
    _, _, server = ask(chats("hi"), request=request, accent=FULL)
    assert server.requests[0].get("reasoning_effort") == effort
    assert "max_completion_tokens" in server.requests[0]
    _, _, server = ask(responds("hi"), request=request, dialect="responses")
    assert server.requests[0]["reasoning"].get("effort") == effort
    _, _, server = ask(chats("hi"), request=request)
    assert "reasoning_effort" not in server.requests[0], "a server that may not know the word is not told it"


def test_headers_and_params_of_a_definition_are_sent_and_win():
    _, _, server = ask(chats("hi"), headers={"X-Team": "red"}, params={"max_tokens": 7, "temperature": 0.5})
    assert server.headers[0]["x-team"] == "red"
    assert (server.requests[0]["max_tokens"], server.requests[0]["temperature"]) == (7, 0.5)


def test_pictures_of_tools_follow_all_the_answers_of_one_reply():
    dot = Image("image/png", b"dot")
    calls = (Call("c1", "look", {}), Call("c2", "look", {}))
    told = (
        Message("user", "look twice"),
        Message("assistant", "", calls),
        Message("tool", "one", call_id="c1", images=(dot,)),
        Message("tool", "two", call_id="c2"),
    )
    roles = [each["role"] for each in render(Request("", told), "m", "mine", PLAIN)["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "user"]
    _, _, server = ask(responds("hi"), dialect="responses", request=Request("", told))
    assert [part["type"] for part in server.requests[0]["input"][3]["output"]] == ["input_text", "input_image"]
    assert server.requests[0]["input"][4]["output"] == "two"


def test_a_reminder_stands_last_wherever_the_conversation_is():
    for last, roles in ((Message("user", "hello"), ["user"]), (Message("tool", "done", call_id="c"), ["tool", "user"])):
        messages = render(Request("", (last,), reminder="Be kind."), "m", "n", PLAIN)["messages"]
        assert [each["role"] for each in messages] == roles
        assert str(messages[-1]["content"]).endswith("<reminder>\nBe kind.\n</reminder>")


def test_a_blank_message_is_sent_as_blank_and_an_empty_assistant_is_left_out():
    messages = render(Request("", (Message("user", " "), Message("assistant", " "))), "m", "n", PLAIN)["messages"]
    assert messages == [{"role": "user", "content": "(an empty message)"}]


# -- what is understood --------------------------------------------------------------------------------------------------------


def test_an_answer_streams_piece_by_piece_with_its_usage():
    assert ask(chats("Hel", "lo"))[0] == [Text("Hel"), Text("lo"), Done("end_turn", 22, 9, 7)]
    assert ask(responds("Hel", "lo"), dialect="responses")[0] == [Text("Hel"), Text("lo"), Done("end_turn", 22, 9, 7)]


def test_an_answer_that_is_not_streamed_is_read_the_same():
    request = replace(HELLO, streamed=False)
    call = {"id": "c1", "type": "function", "function": {"name": "exec", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": "hello", "reasoning_content": "hm", "tool_calls": [call]}
    told = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": usage()["usage"]}
    deltas, _, server = ask(whole(told), request=request)
    assert deltas == [Thinking("hm"), Text("hello"), Call("c1", "exec", {"a": 1}), Done("tool_use", 22, 9, 7)]
    assert "stream" not in server.requests[0]
    output = [
        {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "XX"},
        {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
        {"type": "function_call", "call_id": "c1", "name": "exec", "arguments": '{"a": 1}'},
    ]
    told = {"object": "response", "status": "completed", "output": output, "usage": {"input_tokens": 3, "output_tokens": 2}}
    deltas, reply, server = ask(whole(told), request=request, dialect="responses")
    assert deltas[-3:] == [Text("hello"), Call("c1", "exec", {"a": 1}), Done("tool_use", 3, 2)]
    assert reply.thinking == "hm"
    assert "stream" not in server.requests[0]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_come_under_either_name(field):
    _, reply, _ = ask(plays([chunk(**{field: "let me "}), chunk(**{field: "see"}), chunk(content="42"), chunk("stop")]))
    assert (reply.thinking, reply.text) == ("let me see", "42")


@pytest.mark.parametrize(
    ("pieces", "thinking", "text"),
    [
        (["<think>let me see</think>\n\n42"], "let me see", "42"),
        (list("\n<think>let me see</think>\n42"), "let me see", "42"),
        (["<thi", "s> is no tag"], "", "<this> is no tag"),
        (["a <think>b</think>"], "", "a <think>b</think>"),
        (["<think>no end </thi"], "no end </thi", ""),
        (["<", "think>", "</", "think>", "x"], "", "x"),
        (["<"], "", "<"),
    ],
)
def test_thoughts_in_tags_are_no_part_of_an_open_model_s_answer(pieces, thinking, text):
    play = plays([*(chunk(content=each) for each in pieces), chunk("stop")])
    _, reply, _ = ask(play, accent=Accent(tagged=True))
    assert (reply.thinking, reply.text) == (thinking, text)
    assert ask(play)[1].text == "".join(pieces)


def test_signed_thoughts_go_back_to_the_model_that_signed_them_and_to_no_other():
    details = [{"type": "reasoning.text", "index": 0, "text": each} for each in ("let me ", "see")]
    seal = {"type": "reasoning.text", "index": 0, "text": "", "signature": "SEAL"}
    first = plays([*(chunk(reasoning_details=[each]) for each in (*details, seal)), chunk(content="hm"), chunk("stop")])
    _, reply, _ = ask(first, accent=FULL)
    again = Request("", (Message("user", "x"), reply.message(), Message("user", "y")))
    _, _, server = ask(chats("ok"), request=again, accent=FULL)
    assert server.requests[0]["messages"][1]["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "let me see", "signature": "SEAL"}
    ]
    _, _, server = ask(chats("ok"), request=again, accent=FULL, name="other:m")
    assert "SEAL" not in json.dumps(server.requests)


def test_encrypted_thoughts_go_back_before_the_calls_they_led_to():
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "XX", "status": "completed"}
    call = {"type": "function_call", "call_id": "c1", "name": "exec", "arguments": "{}"}
    _, reply, _ = ask(responds(output=[item, call]), dialect="responses")
    again = Request("", (Message("user", "x"), reply.message(), Message("tool", "done", call_id="c1")))
    _, _, server = ask(responds("ok"), request=again, dialect="responses")
    sent = [each.get("type") for each in server.requests[0]["input"]]
    assert sent == [None, "reasoning", "function_call", "function_call_output"]
    assert server.requests[0]["input"][1] == {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "XX"}
    _, _, server = ask(responds("ok"), request=again, dialect="responses", name="other:m")
    assert "XX" not in json.dumps(server.requests)


def test_the_signature_of_a_call_goes_back_with_it():
    signed = {**piece(0, "c1", "exec", "{}"), "extra_content": {"google": {"thought_signature": "SEAL"}}}
    _, reply, _ = ask(plays([chunk(tool_calls=[signed]), chunk("tool_calls")]))
    again = Request("", (Message("user", "x"), reply.message(), Message("tool", "done", call_id="c1")))
    _, _, server = ask(chats("ok"), request=again)
    call = server.requests[0]["messages"][1]["tool_calls"][0]
    assert call["extra_content"] == {"google": {"thought_signature": "SEAL"}}


def test_gemini_is_told_which_calls_are_not_its_own_and_only_those():
    accent = PRESETS["gemini"].accent
    own, foreign = Call("c1", "exec", {}, '{"google": {"thought_signature": "SEAL"}}', "me"), Call("c2", "exec", {})
    for calls, seals in (
        ((own, foreign), ["SEAL", None]),
        ((foreign, foreign), ["skip_thought_signature_validator", None]),
        ((replace(own, by="other"),), ["skip_thought_signature_validator"]),
    ):
        messages = render(Request("", (Message("user", "x"), Message("assistant", "", calls))), "m", "me", accent)["messages"]
        sent = [each.get("extra_content", {}).get("google", {}) for each in messages[1]["tool_calls"]]
        assert [each.get("thought_signature") for each in sent] == seals


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(0, "a", "one", "{}"), piece(0, "b", "two", "{}")],  # every call has the same index
        [{**piece(0, "a", "one", "{}"), "index": None}, {**piece(0, "b", "two", "{}"), "index": None}],  # none has one
        [piece(1, "a", "one"), piece(2, "b", "two"), piece(2, args="{}"), piece(1, args="{}")],  # woven
    ],
)
def test_parallel_calls_are_told_apart_however_a_server_numbers_them(pieces):
    _, reply, _ = ask(plays([*(chunk(tool_calls=[each]) for each in pieces), chunk("tool_calls")]))
    assert [(each.id, each.tool, each.args) for each in reply.calls] == [("a", "one", {}), ("b", "two", {})]


def test_a_call_without_an_id_gets_one_and_arguments_may_come_as_an_object():
    named = {"function": {"name": "exec", "arguments": {"a": 1}}}
    deltas, reply, _ = ask(plays([chunk(tool_calls=[named]), chunk("stop")]))
    assert reply.calls[0].id.startswith("call_")
    assert reply.calls[0].args == {"a": 1}
    assert deltas[-1].stop_reason == "tool_use", "some servers say `stop` after a call"


def test_half_a_call_at_the_limit_is_left_out_and_not_tried_again():
    deltas, reply, server = ask(plays([chunk(tool_calls=[piece(0, "a", "exec", '{"comm')]), chunk("length")]))
    assert (reply.calls, deltas[-1].stop_reason, len(server.requests)) == ([], "max_tokens", 1)
    cut = {"type": "function_call", "call_id": "c1", "name": "exec", "arguments": '{"comm'}
    short = responds(output=[cut], status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    deltas, reply, server = ask(short, dialect="responses")
    assert (reply.calls, deltas[-1].stop_reason, len(server.requests)) == ([], "max_tokens", 1)


def test_a_character_split_between_two_deltas_is_joined():
    pieces = [f'{{"choices":[{{"delta":{{"content":"{half}"}}}}]}}' for half in (r"a\ud83d", r"\ude00b", r"\ud83d")]
    assert ask(plays([*pieces, chunk("stop")]))[1].text == "a😀b\ufffd"


def test_usage_that_nobody_tells_is_estimated():
    done = ask(plays([chunk(content="hello there"), chunk("stop")]))[0][-1]
    assert done.tokens_in > 0
    assert done.tokens_out > 0


def test_thoughts_that_stand_in_the_total_alone_are_counted():
    told = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 108}}
    assert ask(plays([chunk(content="a"), chunk("stop"), told]))[0][-1] == Done("end_turn", 5, 103)


def test_a_proxy_of_the_environment_does_not_stand_before_this_machine(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ask(chats("hi"))[1].text == "hi"


def test_an_end_is_believed_by_reason_or_by_done_and_not_without_either():
    assert ask(plays([chunk(content="a"), chunk("stop")], done=False))[1].text == "a"
    assert ask(plays([chunk(content="a")], done=True))[1].text == "a"
    with pytest.raises(Unavailable, match="Mine broke off in the middle"):
        ask(plays([chunk(content="a")], done=False), policy=IMPATIENT)
    with pytest.raises(Unavailable, match="broke off"):
        ask(plays([{"type": "response.output_text.delta", "delta": "a"}], done=False), dialect="responses", policy=IMPATIENT)


def test_comments_names_of_events_and_strange_documents_are_no_trouble():
    async def chatty(line: Line) -> None:
        await line.begin()
        await line.chunk(b": OPENROUTER PROCESSING\r\n\r\nevent: x\r\nid: 1\r\nretry: 5\r\n")
        await line.chunk(data({"choices": None}) + data({"choices": [None]}) + data({"usage": []}))
        await line.chunk(data(chunk(content=None, tool_calls=None)) + data(chunk(content="ok")) + data(chunk("stop")))
        await line.end()

    assert ask(chatty)[1].text == "ok"


# -- what goes wrong -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("play", "sort", "complaint"),
    [
        (
            fails(401, f"bad key {KEY}", "invalid_api_key"),
            Refused,
            r"Mine refused the key \(bad key \*\*\*\); correct THE-PLACE",
        ),
        (fails(404, "The model `m` does not exist", "model_not_found"), Refused, r"Mine has no model 'm'.*correct `model`"),
        (fails(402, "no credits"), Refused, "cannot pay"),
        (fails(429, "You exceeded your quota", "insufficient_quota"), Refused, "cannot pay"),
        (fails(400, "This model's maximum context length is 8 tokens", ""), Overflow, "longer than m can take.*animactl clear"),
        (fails(400, "too long", "context_length_exceeded"), Overflow, "longer than m can take"),
        (fails(400, "flagged", "content_policy_violation"), Refused, r"Mine does not answer this \(flagged\)"),
        (fails(400, "bad temperature"), Refused, r"did not accept the request \(bad temperature\)"),
        (answers(400, [{"error": {"code": 400, "message": "API key not valid."}}]), Refused, r"API key not valid"),
        (answers(404, "<html>nope</html>", "text/html"), Refused, "answered 404 and is no model's API; correct base_url"),
        (answers(200, "<html>hello</html>", "text/html"), Refused, "answered with text/html where a model's answer belongs"),
        (answers(302, "", extra="location: http://elsewhere/\r\n"), Refused, "answered 302 and is no model's API"),
        (fails(429, "slow down", extra="retry-after: 9\r\n"), Unavailable, r"limits our rate of requests.*in 9 s, as it asks"),
        (fails(500, "oops"), Unavailable, "Mine failed with status 500"),
        (answers(502, "<html>bad gateway</html>", "text/html"), Unavailable, "failed with status 502"),
    ],
)
def test_a_failure_is_one_sentence_that_says_what_to_do(play, sort, complaint):
    with pytest.raises(sort, match=complaint) as raised:
        ask(play, policy=IMPATIENT, key_place="THE-PLACE")
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "sort", "complaint"),
    [
        ({"message": "overloaded", "code": 529}, Unavailable, "is overloaded"),
        ({"message": "Provider returned error", "code": 502, "metadata": {"raw": "upstream"}}, Unavailable, "upstream"),
        ({"message": "slow", "type": "rate_limit_exceeded"}, Unavailable, "limits our rate"),
        ({"message": "too long", "code": "context_length_exceeded", "type": "invalid_request_error"}, Overflow, "longer"),
        ("it broke", Unavailable, "it broke"),
    ],
)
def test_an_error_inside_a_stream_means_what_it_says(error, sort, complaint):
    with pytest.raises(sort, match=complaint):
        ask(plays([chunk(content="a"), {"error": error}]), policy=replace(IMPATIENT, cuts_max=0))
    failed = {"type": "response.failed", "response": {"status": "failed", "error": error}}
    with pytest.raises(sort, match=complaint):
        ask(plays([failed], done=False), dialect="responses", policy=IMPATIENT)
    if isinstance(error, dict):
        with pytest.raises(sort, match=complaint):
            ask(
                plays([{**error, "type": "error", "code": error.get("code", error.get("type"))}], done=False),
                dialect="responses",
                policy=IMPATIENT,
            )


def test_a_broken_connection_is_mended_and_nothing_is_shown_twice():
    async def cut(line: Line) -> None:
        await line.begin()
        await line.chunk(data(chunk(content="Hel")))
        line.writer.close()

    deltas, reply, _ = ask(cut, chats("Hel", "lo"))
    assert reply.text == "Hello"
    assert not [each for each in deltas if isinstance(each, Restart)]


def test_a_name_that_nobody_has_and_a_port_where_nobody_listens():
    with pytest.raises(Refused, match=r"nobody has the name in http://nowhere\.invalid"):
        ask(chats(), url="http://nowhere.invalid", policy=IMPATIENT)
    with pytest.raises(Unavailable, match=r"the connection to http://127\.0\.0\.1:1 failed"):
        ask(chats(), url="http://127.0.0.1:1", policy=IMPATIENT)


def test_a_server_without_tls_and_one_with_a_certificate_of_its_own(tmp_path):
    async def go(url_of, context: ssl.SSLContext | None) -> None:
        async def served(_reader, writer) -> None:
            writer.write(b"HTTP/1.1 400 no\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(served, "127.0.0.1", 0, ssl=context)
        async with server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            model = open_openai(Endpoint("mine:m", "Mine", "m", url), "chat", PLAIN, IMPATIENT)
            try:
                async for _ in model.stream(HELLO):
                    pass
            finally:
                await model.close()

    with pytest.raises(Refused, match="speaks no TLS; write its address with http://"):
        asyncio.run(go(None, None))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(tmp_path)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with pytest.raises(Refused, match=r"certificate of https://127.0.0.1:\d+ cannot be verified"):
        asyncio.run(go(None, context))


def certificate(folder) -> None:
    """A self-signed certificate."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True, timeout=60,
    )  # fmt: skip


def test_an_answer_of_ten_megabytes_is_cut_off_with_a_sentence():
    block = "x" * 100_000
    with pytest.raises(Refused, match="was cut off; ask for less at once"):
        ask(plays([chunk(content=block)] * 105))
    with pytest.raises(Refused, match="was cut off; ask for less at once"):
        ask(plays(["{" + "x" * 17_000_000]))


def test_an_answer_that_never_ends_ends():
    async def endless(line: Line) -> None:
        await line.begin()
        while True:
            await line.chunk(data(chunk(content="and ")))
            await asyncio.sleep(0.01)

    with pytest.raises(Refused, match="had no end after"):
        ask(endless, policy=replace(QUICK, answer_s=0.3))


def test_a_silent_server_is_given_up():
    async def silent(line: Line) -> None:
        await line.begin()
        await line.gone()

    with pytest.raises(Unavailable, match="stayed silent for too long"):
        ask(silent, policy=IMPATIENT, silence_s=0.2)


def test_a_server_that_only_says_that_it_lives_is_given_up_too():
    async def pings(line: Line) -> None:
        await line.begin()
        while True:
            await line.chunk(b": still processing\n\n")
            await asyncio.sleep(0.01)

    with pytest.raises(Unavailable, match="kept the line open and said nothing for too long"):
        ask(pings, policy=IMPATIENT, silence_s=0.05)


@pytest.mark.parametrize("url", ["", "localhost:1", "ftp://x", "http://", "http://[::1", "http://x:99999"])
def test_an_address_that_is_none_is_a_configuration_error(url):
    with pytest.raises(ConfigError, match="is no address for mine:m; write base_url as"):
        open_openai(Endpoint("mine:m", "Mine", "m", url), "chat", PLAIN, QUICK)


@pytest.mark.parametrize("key", ["two words", "grüße", "line\nbreak"])
def test_a_key_that_is_none_is_a_configuration_error_that_does_not_show_it(key):
    with pytest.raises(ConfigError, match="contains characters no key has") as raised:
        open_openai(Endpoint("mine:m", "Mine", "m", "http://x", key), "chat", PLAIN, QUICK)
    assert key not in str(raised.value)
    assert key not in repr(Endpoint("mine:m", "Mine", "m", "http://x", key))


def test_details_without_a_place_stay_apart():
    details: list = []
    for each in ({"type": "a", "text": "1"}, {"type": "a", "text": "2"}, "odd", {"type": "b", "index": 0, "data": "x"}):
        join(details, each)
    assert len(details) == 4


def test_every_preset_has_an_address_that_can_be_opened():
    for name, preset in PRESETS.items():
        if preset.url:
            open_openai(Endpoint(f"{name}:m", preset.who, "m", preset.url), preset.dialect, preset.accent, QUICK)
