"""The anthropic provider against a real local server that speaks the Messages API."""

import asyncio
import json
import logging
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nous_messages_server import Line, Server, closing, cut_after, fails, opening, says, sse

from anima.errors import ConfigError, Refused, Unavailable
from anima.nous.anthropic import Extra, open_anthropic
from anima.nous.anthropic_errors import Failure, judge, read_failure
from anima.nous.model import Call, Done, Message, Overflow, Reply, Request, Restart, Text, Thinking
from anima.nous.retry import Policy, Transient

KEY = "sk-ant-SECRET-0123456789"
QUICK = Policy(delay_s=0.01, delay_max_s=0.05, total_s=5)
CACHED = {"type": "ephemeral"}
HELLO = Request("Be brief.", (Message("user", "hello"),))


def ask(*plays, request: Request = HELLO, policy: Policy = QUICK) -> tuple[list, Reply, Server]:
    """Ask once; what came, folded, and the server that was asked."""

    async def go():
        async with Server(*plays) as server:
            model = open_anthropic("claude-test", KEY, server.url, policy)
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


def test_an_answer_streams_and_its_usage_counts_the_cache():
    deltas, _, server = ask(says("Hel", "lo"))
    assert deltas == [Text("Hel"), Text("lo"), Done("end_turn", 22, 9, 7, 5)]
    assert server.requests == [
        {
            "model": "claude-test",
            "max_tokens": 4096,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": CACHED}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": CACHED}]}],
            "stream": True,
        },
    ]
    assert KEY.lower() in json.dumps(server.headers[0])


def test_characters_split_between_packets_arrive_whole():
    async def bytewise(line: Line) -> None:
        await line.begin()
        await opening(line)
        data = sse("content_block_delta", index=0, delta={"type": "text_delta", "text": "日本 👩‍👧"})
        for byte in data:
            await line.chunk(bytes([byte]))
        await closing(line, "end_turn")

    assert ask(bytewise)[1].text == "日本 👩‍👧"


def test_a_character_split_between_two_deltas_is_joined():
    async def halves(line: Line) -> None:
        await line.begin()
        await opening(line)
        for half in (r"a\ud83d", r"\ude00b", r"\ud83d"):
            data = f'{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{half}"}}}}'
            await line.chunk(f"event: content_block_delta\ndata: {data}\n\n".encode())
        await line.event("content_block_stop", index=0)
        await closing(line, "end_turn")

    assert ask(halves)[1].text == "a😀b\ufffd"


def test_retry_after_is_honoured_then_the_answer_comes():
    begun = time.monotonic()
    deltas, reply, server = ask(fails(429, "rate_limit_error", retry_after="1"), says("ok"))
    assert time.monotonic() - begun >= 1.0
    assert reply.text == "ok"
    assert not any(isinstance(each, Restart) for each in deltas), "nothing was shown, so nothing is void"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(529, "overloaded_error"), (500, "api_error"), (503, "x"), (408, "x"), (409, "x")]
)
def test_what_may_pass_is_tried_again(status, kind):
    _, reply, server = ask(fails(status, kind), fails(status, kind), says("ok"))
    assert reply.text == "ok"
    assert len(server.requests) == 3


def test_a_server_that_stays_overloaded_is_given_up_at_the_deadline():
    with pytest.raises(Unavailable, match=r"Anthropic is overloaded \(gave up after .* tries in . s\); ask again later"):
        ask(fails(529, "overloaded_error"), policy=Policy(0.05, 0.1, 0.5))


def test_a_wait_longer_than_the_deadline_is_not_begun():
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="ask again in 3600 s"):
        ask(fails(429, "rate_limit_error", retry_after="3600"))
    assert time.monotonic() - begun < 5


def test_a_cut_stream_starts_over_and_voids_what_was_shown():
    deltas, reply, server = ask(cut_after("Once upon"), says("A different", " answer"))
    assert [type(each) for each in deltas] == [Text, Restart, Text, Text, Done]
    assert reply.text == "A different answer"
    assert reply.restarts == 1
    assert len(server.requests) == 2


def test_a_stream_that_ends_politely_but_too_soon_is_cut_too():
    async def short(line: Line) -> None:
        await line.begin()
        await opening(line)
        await line.end()

    assert ask(short, says("ok"))[1].text == "ok"


def test_an_overload_inside_the_stream_starts_over():
    async def overloaded(line: Line) -> None:
        await line.begin()
        await opening(line)
        await line.event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Half"})
        await line.event("error", error={"type": "overloaded_error", "message": "Overloaded"})
        await line.end()

    deltas, reply, _ = ask(overloaded, says("whole"))
    assert Restart("Anthropic is overloaded") in deltas
    assert reply.text == "whole"


def test_a_malformed_chunk_starts_over():
    async def broken(line: Line) -> None:
        await line.begin()
        await opening(line)
        await line.chunk(b'event: content_block_delta\ndata: {"type": "content_block\n\n')
        await line.end()

    assert ask(broken, says("whole"))[1].text == "whole"


@pytest.mark.parametrize(
    ("play", "sentence"),
    [
        (fails(401, "authentication_error", "invalid x-api-key"), "refused the key .*ANTHROPIC_API_KEY"),
        (fails(403, "permission_error"), "may not use claude-test"),
        (fails(404, "not_found_error", "model: claude-test"), "no model 'claude-test'.*agent.toml"),
        (fails(400, "invalid_request_error", "messages: too long"), "did not accept the request .messages: too long"),
        (fails(413, "request_too_large"), "too large.*animactl clear"),
        (fails(429, "rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}), "spend limit"),
    ],
)
def test_what_will_not_pass_is_refused_at_once_in_one_sentence(play, sentence):
    with pytest.raises(Refused, match=sentence) as caught:
        ask(play, says("never"))
    assert "\n" not in str(caught.value)


def test_a_refusal_of_the_model_is_said():
    with pytest.raises(Refused, match="declined to answer"):
        ask(says("I", stop_reason="refusal"))


def test_a_web_page_in_place_of_the_api_is_named_as_such():
    async def page(line: Line) -> None:
        await line.begin("text/html")
        await line.chunk(b"<html>Log in to the hotel's network</html>")
        await line.end()

    with pytest.raises(Refused, match=r"text/html.*anthropic_base_url"):
        ask(page)

    async def not_found(line: Line) -> None:
        await line.raw(b"HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\nnope")

    with pytest.raises(Refused, match="is not the Anthropic API"):
        ask(not_found)


def test_nobody_listening_is_unavailable_after_the_deadline():
    async def go():
        async with Server(says("x")) as server:
            url = server.url
        model = open_anthropic("claude-test", KEY, url, Policy(0.01, 0.02, 0.1))
        try:
            async for _ in model.stream(HELLO):
                pass
        finally:
            await model.close()

    with pytest.raises(Unavailable, match=r"connection to http://127\.0\.0\.1"):
        asyncio.run(go())


def tool_play(*pieces: str, stop_reason: str = "tool_use"):
    async def play(line: Line) -> None:
        await line.begin()
        await opening(line)
        await line.event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""})
        await line.event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"})
        await line.event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "abc"})
        await line.event("content_block_stop", index=0)
        await line.event(
            "content_block_start", index=1, content_block={"type": "tool_use", "id": "toolu_1", "name": "exec", "input": {}}
        )
        for piece in pieces:
            await line.event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": piece})
        await line.event("content_block_stop", index=1)
        await closing(line, stop_reason)

    return play


def test_a_tool_call_whose_json_comes_in_pieces_is_whole():
    deltas, _, _ = ask(tool_play("", '{"comm', 'and": "echo \\u00', 'e4"}'))
    signed = Thinking("", "abc", "anthropic:claude-test")
    assert deltas == [Thinking("hm"), signed, Call("toolu_1", "exec", {"command": "echo ä"}), Done("tool_use", 22, 9, 7, 5)]


def test_a_tool_call_without_arguments_has_none():
    assert ask(tool_play())[1].calls == [Call("toolu_1", "exec", {})]


@pytest.mark.parametrize("broken", ['{"command": ', "[1]", '{"n": 99999999999999999999999}', r'{"t": "\ud800"}'])
def test_a_tool_call_that_makes_no_sense_is_asked_for_again(broken):
    deltas, reply, _ = ask(tool_play(broken), tool_play('{"command": "ls"}'))
    assert [each.args for each in reply.calls] == [{"command": "ls"}]
    assert [each.text for each in deltas if isinstance(each, Thinking)] == ["hm", ""], "the same thought is not shown twice"


def test_a_tool_call_cut_by_the_limit_of_tokens_is_left_out_and_the_limit_told():
    deltas, reply, _ = ask(tool_play('{"command": ', stop_reason="max_tokens"))
    assert reply.calls == []
    assert deltas[-1].stop_reason == "max_tokens"


def test_fifty_calls_in_one_answer_come_in_order():
    async def many(line: Line) -> None:
        await line.begin()
        await opening(line)
        for number in range(50):
            block = {"type": "tool_use", "id": f"t{number}", "name": "exec", "input": {}}
            await line.event("content_block_start", index=number, content_block=block)
            await line.event(
                "content_block_delta", index=number, delta={"type": "input_json_delta", "partial_json": f'{{"n":{number}}}'}
            )
            await line.event("content_block_stop", index=number)
        await closing(line, "tool_use")

    assert [each.args["n"] for each in ask(many)[1].calls] == list(range(50))


def test_an_empty_answer_is_an_answer():
    async def nothing(line: Line) -> None:
        await line.begin()
        await opening(line)
        await closing(line, "end_turn", tokens_out=1)

    assert ask(nothing)[0] == [Done("end_turn", 22, 1, 7, 5)]


def test_cancelling_ends_the_request_at_the_server():
    async def go():
        async def endless(line: Line) -> None:
            await line.begin()
            await opening(line)
            await line.event("content_block_delta", index=0, delta={"type": "text_delta", "text": "and"})
            await line.gone()
            server.closed_by_peer.set()

        async with Server(endless) as server:
            model = open_anthropic("claude-test", KEY, server.url, QUICK)
            shown = asyncio.Event()

            async def listen():
                async for _ in model.stream(HELLO):
                    shown.set()

            task = asyncio.create_task(listen())
            async with asyncio.timeout(10):
                await shown.wait()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await server.closed_by_peer.wait()
            await model.close()

    asyncio.run(go())


def test_the_key_stands_in_no_error_no_repr_and_no_log(caplog):
    caplog.set_level(logging.DEBUG)
    plays = [fails(401, "authentication_error", f"the key {KEY} is wrong"), fails(500, "api_error", f"oops {KEY}")]
    seen = [repr(open_anthropic("claude-test", KEY, "http://x", QUICK))]
    for play in plays:
        with pytest.raises((Refused, Unavailable)) as caught:
            ask(play, policy=Policy(0.01, 0.01, 0.02))
        seen += [str(caught.value), repr(caught.value), str(caught.getrepr(style="long"))]
    text = "\n".join([*seen, caplog.text])
    assert "***" in text
    assert KEY not in text.replace(f'KEY = "{KEY}"', "")


@pytest.mark.parametrize(
    ("key", "url"), [("", ""), ("  ", ""), ("schlüssel", ""), ("a\nb", ""), ("k", "ftp://x"), ("k", "api.example")]
)
def test_a_key_or_address_that_cannot_be_right_is_refused_before_anything_is_sent(key, url):
    with pytest.raises(ConfigError, match=r"anima.toml|Anthropic console"):
        open_anthropic("m", key, url, QUICK)


@given(
    st.integers(0, 999),
    st.from_type(dict[str, object])
    | st.text()
    | st.none()
    | st.builds(
        lambda e: {"error": e},
        st.dictionaries(st.sampled_from(["type", "message", "details"]), st.text() | st.none() | st.integers()),
    ),
)
def test_any_error_body_is_judged_to_one_sentence(status, body):
    verdict = judge(read_failure(status, body, None), "m", "http://x")
    assert isinstance(verdict, Transient | Refused)
    assert "\n" not in str(verdict)
    assert len(str(verdict)) < 700


def test_an_error_inside_a_stream_is_judged_by_its_kind():
    body = {"type": "error", "error": {"type": "authentication_error", "message": "no"}}
    assert read_failure(200, body, 3.0) == Failure(401, "authentication_error", "", "no", 3.0)


# -- thinking, whole answers, counting, subscriptions --------------------------------------------------------------------


def test_what_was_thought_comes_signed_and_redacted_thoughts_come_sealed():
    async def think(line: Line) -> None:
        await line.begin()
        await opening(line)
        await line.event("content_block_start", index=0, content_block={"type": "redacted_thinking", "data": "sealed"})
        await line.event("content_block_stop", index=0)
        await line.event("content_block_start", index=1, content_block={"type": "thinking", "thinking": "", "signature": ""})
        for piece in ("let me", " see"):
            await line.event("content_block_delta", index=1, delta={"type": "thinking_delta", "thinking": piece})
        await line.event("content_block_delta", index=1, delta={"type": "signature_delta", "signature": "sig"})
        await line.event("content_block_stop", index=1)
        await line.event("content_block_start", index=2, content_block={"type": "text", "text": "Yes."})
        await line.event("content_block_stop", index=2)
        await closing(line, "end_turn")

    _, reply, _ = ask(think)
    by = "anthropic:claude-test"
    assert reply.thoughts == (Thinking("", "sealed", by, redacted=True), Thinking("let me see", "sig", by))
    assert (reply.text, reply.thinking) == ("Yes.", "let me see")


def test_thoughts_the_api_does_not_want_back_are_left_out_of_the_next_attempt():
    thought = Thinking("hm", "stale", "anthropic:claude-test")
    call = Message("assistant", "", (Call("1", "x", {}),), thoughts=(thought,))
    request = Request("", (Message("user", "a"), call, Message("tool", "r", call_id="1")))
    _, reply, server = ask(
        fails(400, "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        says("ok"),
        request=request,
    )
    assert reply.text == "ok"
    assert ["stale" in json.dumps(each) for each in server.requests] == [True, False]


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("pause_turn", "pause_turn"),
        ("max_tokens", "max_tokens"),
        ("model_context_window_exceeded", "context"),
        ("new", "end_turn"),
    ],
)
def test_every_way_to_stop_is_a_word_of_ours(reason, ours):
    assert ask(says("Well", stop_reason=reason))[0][-1].stop_reason == ours


@pytest.mark.parametrize(
    "play",
    [
        fails(400, "invalid_request_error", "prompt is too long: 1234567 tokens > 1000000 maximum"),
        fails(400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 199000 + 16000 > 200000"),
        fails(413, "request_too_large"),
    ],
)
def test_a_conversation_too_long_is_told_apart_so_that_a_shorter_one_can_be_tried(play):
    with pytest.raises(Overflow, match=r"too large.*animactl clear"):
        ask(play, says("never"))


WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-test",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "exec", "input": {"command": "ls"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 9},
}


def whole(answer: dict, content_type: str = "application/json"):
    async def play(line: Line) -> None:
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        await line.raw(head.encode() + body)

    return play


def test_an_answer_that_is_not_streamed_says_the_same():
    request = replace(HELLO, streamed=False)
    deltas, _, server = ask(whole(WHOLE), request=request)
    assert deltas == [
        Thinking("hm"),
        Thinking("", "sig", "anthropic:claude-test"),
        Text("I look."),
        Call("t1", "exec", {"command": "ls"}),
        Done("tool_use", 22, 9, 7, 5),
    ]
    assert not server.requests[0].get("stream")


def test_an_answer_that_is_not_streamed_is_retried_and_refused_alike():
    request = replace(HELLO, streamed=False)
    assert ask(fails(529, "overloaded_error"), whole(WHOLE), request=request)[1].text == "I look."
    with pytest.raises(Refused, match="declined"):
        ask(whole({**WHOLE, "stop_reason": "refusal"}), request=request)
    with pytest.raises(Refused, match=r"text/html.*anthropic_base_url"):
        ask(whole({}, "text/html"), request=request)


def opened_at(url: str, key: str = KEY):
    return open_anthropic("claude-test", key, url, QUICK)


def test_tokens_are_counted_by_the_api_without_an_answer():
    async def go(*plays):
        async with Server(*plays) as server:
            model = opened_at(server.url)
            try:
                return await model.count_tokens(HELLO), server
            finally:
                await model.close()

    counted, server = asyncio.run(go(whole({"input_tokens": 17})))
    assert counted == 17
    assert "count_tokens" in server.headers[0]["line"]
    assert set(server.requests[0]) == {"model", "messages", "system"}
    with pytest.raises(Unavailable, match=r"overloaded.*cannot be counted now"):
        asyncio.run(go(fails(529, "overloaded_error")))
    with pytest.raises(Refused, match="refused the key"):
        asyncio.run(go(fails(401, "authentication_error")))


def headers_for(key: str) -> dict[str, str]:
    async def go():
        async with Server(says("ok")) as server:
            model = opened_at(server.url, key)
            async for _ in model.stream(HELLO):
                pass
            await model.close()
            return server.headers[0]

    return asyncio.run(go())


def test_a_token_of_a_subscription_travels_as_a_bearers_with_its_beta_header(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api-of-somebody-else")
    headers = headers_for("sk-ant-oat01-SECRET")
    assert headers["authorization"] == "bearer sk-ant-oat01-secret"
    assert headers["anthropic-beta"] == "oauth-2025-04-20"
    assert "somebody" not in json.dumps(headers)
    assert "anthropic-beta" not in headers_for(KEY)


def test_a_token_of_a_subscription_stands_in_no_error():
    token = "sk-ant-oat01-SECRET"

    async def go():
        async with Server(fails(400, "invalid_request_error", f"not with {token}")) as server:
            model = opened_at(server.url, token)
            try:
                async for _ in model.stream(HELLO):
                    pass
            finally:
                await model.close()

    with pytest.raises(Refused) as caught:
        asyncio.run(go())
    assert "***" in str(caught.value)
    assert token not in str(caught.value)


# -- where no API is ------------------------------------------------------------------------------------------------------


def listen(url: str) -> None:
    async def go():
        model = open_anthropic("claude-test", KEY, url, Policy(0.01, 0.02, 0.3))
        try:
            async for _ in model.stream(HELLO):
                pass
        finally:
            await model.close()

    asyncio.run(go())


def test_a_name_nobody_has_and_a_port_without_tls_are_told_in_one_sentence():
    with pytest.raises((Refused, Unavailable), match=r"nobody\.invalid"):  # unavailable where no resolver says for certain
        listen("https://nobody.invalid")

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def go():
        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
            model = opened_at(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            try:
                async for _ in model.stream(HELLO):
                    pass
            finally:
                await model.close()

    with pytest.raises(Refused, match="speaks no TLS; write its address with http://"):
        asyncio.run(go())


def test_an_answer_of_ten_megabytes_is_cut_off_while_it_comes():
    sent = 0

    async def flood(line: Line) -> None:
        nonlocal sent
        await line.begin()
        await opening(line)
        for _ in range(100):
            await line.event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 100_000})
            sent += 100_000
        await line.gone()

    with pytest.raises(Refused, match=r"grew beyond 900 KiB .* ask for less"):
        ask(flood)
    assert sent < 10_000_000, "the rest was not waited for"


def test_headers_and_fields_of_a_definition_go_with_every_request_and_its_headers_are_secrets():
    extra = Extra({"x-team": "team-secret-7"}, {"temperature": 0.5, "max_tokens": 7})

    async def go():
        async with Server(says("ok"), fails(400, "invalid_request_error", "team-secret-7 may not")) as server:
            model = open_anthropic("claude-test", KEY, server.url, QUICK, extra)
            said = []
            try:
                for _ in range(2):
                    said += [delta async for delta in model.stream(HELLO)]
            except Refused as error:
                said.append(error)
            finally:
                await model.close()
            return said, server

    said, server = asyncio.run(go())
    assert server.headers[0]["x-team"] == "team-secret-7"
    assert (server.requests[0]["temperature"], server.requests[0]["max_tokens"]) == (0.5, 7)
    assert "*** may not" in str(said[-1])
    assert "team-secret-7" not in repr(extra)


def test_a_server_that_does_not_stream_is_understood_all_the_same():
    assert ask(whole(WHOLE))[1].calls == [Call("t1", "exec", {"command": "ls"})]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_whole_answer_that_is_not_json_is_asked_for_again(streamed):
    async def garbage(line: Line) -> None:
        await line.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{malformed ")

    good = says("ok") if streamed else whole({**WHOLE, "content": [{"type": "text", "text": "ok"}]})
    assert ask(garbage, good, request=replace(HELLO, streamed=streamed))[1].text == "ok"


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
def test_an_endless_line_is_cut_off_before_it_fills_the_memory(content_type, monkeypatch):
    monkeypatch.setattr("anima.nous.anthropic._ANSWER_BYTES_MAX", 1_000_000)

    async def endless(line: Line) -> None:
        await line.begin(content_type)
        while True:
            await line.chunk(b"x" * 65_536)

    with pytest.raises(Refused, match="more than anybody could read"):
        ask(endless, request=replace(HELLO, streamed=content_type.startswith("text")))


def test_no_proxy_of_the_environment_stands_before_a_server_on_this_machine(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask(says("ok"))[1].text == "ok"
