"""The guard before the network, each rule against a hostile server, and what the web tools make of its answers.

Loopback stands for the public internet here: the judge calls 127.0.0.1 public, and everything else what it is.
"""

import ipaddress
import subprocess
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools_hostile_server import Server, hostile_server

from anima.tools.context import Context, Web
from anima.tools.run import run
from anima.tools.search.patterns import matcher
from anima.tools.tool import ToolError
from anima.tools.web.guard import Guard, guard_for
from anima.tools.web.hosts import join_url, normalise_host, not_public, parse_url
from anima.tools.web.page import markdown, readable
from anima.tools.web.search import search
from anima.tools.web.wire import Answer, Request

STAND_IN = ipaddress.ip_address("127.0.0.1")


@pytest.fixture
def server():
    with hostile_server() as running:
        yield running


class Names:
    """A name server: what each name leads to, and how often it was asked."""

    def __init__(self, **known: list[list[str]] | list[str]) -> None:
        self.known = known
        self.asked: list[str] = []

    def __call__(self, host: str, _port: int) -> list[str]:
        self.asked.append(host)
        found = self.known.get(host.replace(".", "_"), ["127.0.0.1"])
        if found and isinstance(found[0], list):
            return found[min(self.asked.count(host), len(found)) - 1]
        return found


def judge(address) -> str:
    return "" if address == STAND_IN else not_public(address)


def guarded(server: Server, names: Names | None = None, **more) -> Guard:
    return Guard(
        **{"resolver": names or Names(), "judge": judge, "ports": frozenset({80, 443, server.port}), "total_s": 5.0, **more}
    )


def get(server: Server, path: str, host: str = "public.test", **more):
    return guarded(server, **more).fetch(Request(f"http://{host}:{server.port}{path}"))


# -- addresses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1",
        "169.254.169.254",
        "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808",
        "64:ff9b:1::1", "100::1",
        "2001::1", "2001:0:4136:e378::1", "2001:db8::1", "2001:10::1", "2001:20::1", "2002:7f00:1::1", "2002:808:808::1",
        "3fff::1",
        "fc00::1", "fd00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "5f00::1", "4000::1",
    ],
)  # fmt: skip
def test_no_private_reserved_or_disguised_address_is_public(address):
    assert not_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"]
)
def test_public_addresses_are_public(address):
    assert not_public(ipaddress.ip_address(address)) == ""


@given(st.ip_addresses())
def test_whatever_python_calls_private_or_not_global_is_refused(address):
    if not address.is_global or address.is_private or address.is_multicast or address.is_reserved:
        assert not_public(address)


# -- hosts and URLs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "host"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("B\u00dcCHER.example.", "xn--bcher-kva.example"),
        ("\uff45\uff58\uff41mple.com", "example.com"),
        ("example\u3002com", "example.com"),
        ("8.8.8.8", "8.8.8.8"),
        ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[0:0::1]", "::1"),
        ("[::ffff:127.0.0.1]", "::ffff:7f00:1"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_has_one_form(given_, host):
    assert normalise_host(given_).replace("::ffff:127.0.0.1", "::ffff:7f00:1") == host


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "..", "a..b", ".a", "-a.com", "a-.com", "a b.com", "a\tb", "a\nb", "a\0.allowed.com", "a%00b", "a@b",
        "a\\b", "a/b", "a:b",
        "[::1", "::1", "[fe80::1%eth0]", "[1.2.3.4]", "[]", "a" * 64 + ".com", "a." * 130 + "com", "a" * 2000,
        "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "1.2.3", "1.2.3.4.5",
        "256.1.1.1", "1.2.3.04",
        "0x7f.0x0.0x0.0x1", "foo.0x1", "foo.1", "a\u200bb.com\u202e", "\u2488\u2488", "exa\u0000mple.com", "xn--\u00fc.com",
        "\ud800.com",
    ],
)  # fmt: skip
def test_a_host_that_is_none_or_only_almost_one_is_refused(host):
    with pytest.raises(ToolError):
        normalise_host(host)


HOSTISH = st.text(st.sampled_from("aZ09.-_:[]@\\/%\0 \t\u00fc\u3002\uff0e\uff11\u2488\u00df\u200d\u0130x"), max_size=12)


@given(HOSTISH | st.text(max_size=20))
def test_normalising_a_host_twice_changes_nothing_and_what_comes_out_is_plain(host):
    try:
        found = normalise_host(host)
    except ToolError:
        return
    assert found.isascii()
    assert found == found.lower()
    assert not set(found) & set("\0 \t\r\n@\\/?#%[]")
    assert not found.endswith(".")
    assert normalise_host(f"[{found}]" if ":" in found else found) == found
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        assert not found.rpartition(".")[2].isdigit(), "what ends in a number is an address or nothing"
    else:
        assert str(address) == found


@given(HOSTISH, st.sampled_from(["http", "https", "HTTP", "ftp", "file", "javascript"]), st.text(max_size=12))
def test_a_url_that_passes_leads_where_another_parser_says_too(host, scheme, rest):
    try:
        target = parse_url(f"{scheme}://{host}{rest}")
    except ToolError:
        return
    import httpx

    theirs = httpx.URL(target.url)
    assert theirs.raw_host.decode() == target.host
    assert theirs.scheme == target.scheme in ("http", "https")
    assert (theirs.port or {"http": 80, "https": 443}[target.scheme]) == target.port
    assert theirs.userinfo == b""
    assert parse_url(target.url) == target


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://example.com/", "'ftp:' is not reached"),
        ("file:///etc/passwd", "'file:' is not reached"),
        ("gopher://x", "not reached"),
        ("javascript:alert(1)", "no whole URL"),
        ("example.com", "no whole URL"),
        ("//example.com", "no whole URL"),
        ("http:/example.com", "no whole URL"),
        ("http://", "names no host"),
        ("http:///path", "names no host"),
        ("http://user@example.com/", "user or password"),
        ("http://user:pass@example.com/", "user or password"),
        ("http://example.com@127.0.0.1/", "user or password"),
        ("http://127.0.0.1\\@example.com/", "contains"),
        ("http://exa mple.com/", "contains"),
        ("http://example.com/a b", "contains"),
        ("http://example.com/\n", "contains"),
        ("http://example.com\0.allowed.com/", "contains"),
        ("http://example.com:99999/", "no port"),
        ("http://example.com:0/", "no port"),
        ("http://example.com:80:80/", "no host"),
        ("http://::1/", "no host"),
        ("http://[::1/", "no host"),
        ("http://[::1]x/", "no host"),
        ("http://example.com/" + "a" * 9000, "longer than"),
    ],
)
def test_a_url_that_may_not_be_is_refused_with_what_is_wrong(url, complaint):
    with pytest.raises(ToolError, match=complaint):
        parse_url(url)


def test_a_url_is_taken_apart_once():
    target = parse_url("HTTPS://Example.COM.:443/p\u00e4th/../x?q=\u00e4&b=%20#frag")
    assert target.url == "https://example.com/p%C3%A4th/../x?q=%C3%A4&b=%20"
    assert target.authority == "example.com"
    assert parse_url("http://[::1]:8080").authority == "[::1]:8080"
    assert parse_url("http://a.b?x").target == "/?x"
    assert join_url(target, "../up").url == "https://example.com/up"
    with pytest.raises(ToolError):
        join_url(target, "file:///etc/passwd")


# -- the guard -----------------------------------------------------------------------------------------------------------


def test_a_public_host_is_reached_by_number_and_named_by_name(server):
    names = Names()
    answer, target = get(server, "/ok", "Public.TEST.", names=names)
    assert (answer.status, answer.body) == (200, b"fine")
    assert names.asked == ["public.test"], "looked up once, under the very string that is checked"
    assert server.last.headers["host"] == f"public.test:{server.port}"
    assert target.host == "public.test"


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "::1"], ["fe80::1%eth0"],
     ["169.254.169.254"], ["nonsense"]],
)  # fmt: skip
def test_a_name_with_any_address_that_is_not_public_is_refused_and_nothing_is_sent(server, addresses):
    with pytest.raises(ToolError, match="leads to"):
        get(server, "/ok", names=Names(public_test=addresses))
    assert server.asked == []


@pytest.mark.parametrize("host", ["10.0.0.1", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]", "0.0.0.0", "[fd00::1]"])
def test_an_address_is_judged_without_asking_anyone(server, host):
    names = Names()
    with pytest.raises(ToolError, match="leads to"):
        get(server, "/ok", host, names=names)
    assert names.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0"])
def test_an_address_in_disguise_is_refused(server, host):
    with pytest.raises(ToolError, match="unusual way"):
        get(server, "/ok", host)
    assert server.asked == []


def test_a_name_that_leads_elsewhere_the_second_time_gains_nothing(server):
    """DNS rebinding: the first answer is public, all later ones are not. It is asked once, and what it said is dialled."""
    names = Names(public_test=[["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]])
    assert get(server, "/ok", names=names)[0].body == b"fine"
    assert names.asked == ["public.test"]
    with pytest.raises(ToolError, match=r"10.0.0.1"):
        get(server, "/ok", names=names)


def test_the_second_address_is_tried_when_the_first_is_silent(server):
    other = ipaddress.ip_address("127.0.0.2")
    names = Names(public_test=["127.0.0.2", "127.0.0.1"])
    answer, _ = get(server, "/ok", names=names, judge=lambda each: "" if each == other else judge(each))
    assert answer.body == b"fine"


@pytest.mark.parametrize("port", [22, 25, 6379, 8080, 65535])
def test_other_ports_are_refused(server, port):
    with pytest.raises(ToolError, match=f"port {port} of public.test may not be reached"):
        guarded(server).fetch(Request(f"http://public.test:{port}/"))


def test_only_80_and_443_are_open_unless_a_test_says_otherwise():
    assert Guard().ports == {80, 443}
    assert Guard().judge is not_public


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/inward", "169.254.169.254, which is link-local"),
        ("/inward-name", "inner.test leads to 192.168.1.1, which is private"),
        ("/file", "redirects to 'file:///etc/passwd', where this may not go"),
        ("/gopher", "where this may not go"),
        ("/port", "port 22"),
        ("/user", "user or password"),
        ("/bad-location", "redirects to"),
        ("/loop", "redirects more than 5 times"),
    ],
)
def test_every_redirect_is_checked_like_the_first_url(server, path, complaint):
    with pytest.raises(ToolError, match=complaint):
        get(server, path, names=Names(inner_test=["192.168.1.1"]))


def test_five_redirects_are_followed_and_each_is_looked_up(server):
    answer, target = get(server, "/once")
    assert (answer.body, target.target) == (b"fine", "/ok")
    names = Names()
    assert get(server, "/other", names=names)[1].host == "other.test"
    assert names.asked == ["public.test", "other.test"]
    assert get(server, "/protocol-relative")[1].host == "other.test"
    with pytest.raises(ToolError, match="more than 0 times"):
        get(server, "/once", redirects_max=0)
    assert get(server, "/no-location")[0].status == 302


def test_keys_and_cookies_do_not_go_to_another_host(server):
    headers = {"Authorization": "Bearer x", "X-Api-Key": "y", "Accept": "text/plain", "Cookie": "z"}
    at = f"http://public.test:{server.port}"
    guarded(server).fetch(Request(f"{at}/other", headers=headers))
    first, second = server.asked
    assert first.headers["x-api-key"] == "y"
    assert set(second.headers) == {"host", "user-agent", "accept", "accept-encoding"}
    assert second.headers["accept"] == "text/plain"
    guarded(server).fetch(Request(f"{at}/once", headers=headers))
    assert server.last.headers["authorization"] == "Bearer x", "the same host is no stranger"
    assert "secret=1" not in server.last.headers["cookie"], "cookies that a server sets are not kept"


def test_what_was_to_be_sent_is_sent_again_only_where_that_is_meant(server):
    at = f"http://public.test:{server.port}"
    guarded(server).fetch(Request(f"{at}/307", "POST", body=b"data"))
    assert (server.last.method, server.last.body) == ("POST", b"data")
    guarded(server).fetch(Request(f"{at}/303", "POST", body=b"data"))
    assert (server.last.method, server.last.body) == ("GET", b"")
    guarded(server).fetch(Request(f"{at}/once", "POST", body=b"data"))
    assert (server.last.method, server.last.body) == ("GET", b"")
    with pytest.raises(ToolError, match="not sent on to another host"):
        guarded(server).fetch(Request(f"{at}/307-other", "POST", body=b"data"))


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"])
def test_no_proxy_of_the_environment_is_used(server, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert get(server, "/ok")[0].body == b"fine"


def test_a_body_is_cut_at_its_limit_and_that_is_said(server):
    answer, _ = get(server, "/endless", body_bytes_max=100_000)
    assert (len(answer.body), answer.cut) == (100_000, True)
    answer, _ = get(server, "/ok", body_bytes_max=4)
    assert (answer.body, answer.cut) == (b"fine", False)


def test_a_gzip_bomb_is_cut_at_its_limit_without_being_unpacked(server):
    import tracemalloc

    tracemalloc.start()
    answer, _ = get(server, "/bomb", body_bytes_max=1_000_000, total_s=30.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(answer.body), answer.cut) == (1_000_000, True)
    assert peak < 60_000_000, "most of it is the server in the same process packing its bomb"


@pytest.mark.parametrize(("path", "body"), [("/gzip", b"packed"), ("/deflate", b"packed"), ("/raw-deflate", b"packed")])
def test_compressed_bodies_are_unpacked(server, path, body):
    assert get(server, path)[0].body == body


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/gzip-lie", "compressed wrongly"),
        ("/gzip-twice", "not asked for"),
        ("/brotli", "not asked for"),
        ("/noise", "cannot be reached"),
        ("/hang-up", "cannot be reached"),
        ("/huge-head", "cannot be reached"),
    ],
)
def test_a_server_that_does_not_speak_properly_is_told(server, path, complaint):
    with pytest.raises(ToolError, match=complaint):
        get(server, path)


@pytest.mark.parametrize("path", ["/drip-body", "/drip-head", "/silent"])
def test_one_deadline_binds_servers_that_drip_or_stall(server, path):
    started = time.monotonic()
    with pytest.raises(ToolError, match="took too long"):
        get(server, path, total_s=0.8)
    assert time.monotonic() - started < 3


def test_the_deadline_binds_redirects_together_and_the_look_up_too(server):
    def slowly(_host: str, _port: int) -> list[str]:
        time.sleep(30)
        return []

    started = time.monotonic()
    with pytest.raises(ToolError, match=r"looking up public.test took too long"):
        get(server, "/ok", resolver=slowly, names=None, total_s=0.5)
    assert time.monotonic() - started < 3


def test_a_name_nobody_knows_is_told(server):
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(ToolError, match=r"public.test is not known"):
        get(server, "/ok", resolver=unknown)
    with pytest.raises(ToolError, match="has no address"):
        get(server, "/ok", names=Names(public_test=[]))


@pytest.mark.parametrize(
    ("hosts", "host", "allowed"),
    [
        ((), "public.test", False),
        (("public.test",), "public.test", True),
        (("Public.TEST.",), "public.test.", True),
        (("public.test",), "other.test", False),
        (("public.test",), "evil-public.test", False),
        (("public.test",), "sub.public.test", False),
        (("*.public.test",), "a.b.public.test", True),
        (("*.public.test",), "public.test", False),
        (("*.public.test",), "evilpublic.test", False),
        (("b\u00fccher.test",), "xn--bcher-kva.test", True),
        (("public.test",), "public.test.evil.test", False),
    ],
)
def test_only_named_hosts_are_reached_and_none_named_means_none(server, hosts, host, allowed):
    if allowed:
        assert get(server, "/ok", host, hosts=hosts)[0].status == 200
    else:
        with pytest.raises(ToolError, match="not among the hosts this agent may reach"):
            get(server, "/ok", host, hosts=hosts)
        assert server.asked == []


def test_a_redirect_leaves_the_named_hosts_as_little_as_a_url_does(server):
    with pytest.raises(ToolError, match=r"other.test is not among"):
        get(server, "/other", hosts=("public.test",))


@pytest.mark.parametrize(
    ("web", "hosts"),
    [(Web("web"), None), (Web("hosts", ("a.org",)), ("a.org",)), (Web("none"), "no"), (Web("hosts", ()), "no"), (Web(), "no")],
)
def test_the_guard_follows_the_configuration(web, hosts):
    if hosts == "no":
        with pytest.raises(ToolError, match="may not reach the network"):
            guard_for(web)
    else:
        assert guard_for(web) == Guard(hosts=hosts)


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil"}, {"host": "evil"}, {"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}, {"Connection": "x"},
     {"X-A": "b\r\nHost: evil"},
     {"X-A\r\nB": "c"}, {"X A": "b"}, {"": "x"}, {"X-A": "\u00e4"}, {"Proxy-Authorization": "x"}, {"X-A": "b\0"}, {"X:A": "b"}],
)  # fmt: skip
def test_headers_that_would_change_the_request_are_refused(server, headers):
    with pytest.raises(ToolError):
        guarded(server).fetch(Request(f"http://public.test:{server.port}/ok", headers=headers))
    assert server.asked == []


def test_a_target_cannot_smuggle_a_second_request(server):
    get(server, "/ok?a=%0d%0aX-Evil:1%20HTTP/1.1")
    assert server.last.target == "/ok?a=%0d%0aX-Evil:1%20HTTP/1.1"
    assert "x-evil" not in server.last.headers


def test_tls_asks_for_the_name_and_checks_the_certificate_of_the_name(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key),
         "-out", str(cert), "-days", "2", "-subj", "/CN=public.test", "-addext", "subjectAltName=DNS:public.test"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl cannot make a certificate here")
    with hostile_server((str(cert), str(key))) as server:
        trusting = guarded(server, certificates=str(cert))
        answer, _ = trusting.fetch(Request(f"https://public.test:{server.port}/ok"))
        assert answer.body == b"fine"
        assert server.names == ["public.test"]
        assert server.last.headers["host"] == f"public.test:{server.port}"
        with pytest.raises(ToolError, match=r"[Hh]ostname mismatch|certificate"):
            trusting.fetch(Request(f"https://other.test:{server.port}/ok"))
        with pytest.raises(ToolError, match="certificate"):
            guarded(server).fetch(Request(f"https://public.test:{server.port}/ok"))
        assert len(server.asked) == 1


# -- what the tools make of it -------------------------------------------------------------------------------------------


def answered(body: bytes, kind: str = "text/html") -> str:
    return readable(Answer(200, {"content-type": kind}, body, cut=False))


def test_a_page_comes_as_markdown_without_scripts_and_menus(server):
    text = readable(get(server, "/html")[0])
    assert (
        text == "# Head\n\nSome **bold** [link](/x).\n\n- one\n- two"
        or text.startswith("# T\n\n# Head")
        or "Some **bold**" in text
    )
    assert "evil" not in text
    assert "menu" not in text


def test_the_main_part_is_taken_if_there_is_one():
    assert markdown("<body><p>around</p><main><header><h1>H</h1></header><p>x</p></main></body>") == "# H\n\nx"


def test_json_is_indented_text_kept_and_the_rest_named(server):
    assert readable(get(server, "/json")[0]) == '{\n "a": [\n  1,\n  2\n ]\n}'
    assert readable(get(server, "/latin")[0]) == "gr\u00fcn"
    assert readable(get(server, "/png")[0]) == "[a PNG image, 108 bytes; not text]"
    assert answered(b"", "text/html") == "[an empty body]"
    assert answered(b"{broken", "application/json") == "{broken"
    assert answered(b"x", "text/plain; charset=nonsense") == "x"


@pytest.mark.timeout(60)
def test_a_page_nested_beyond_reason_still_gives_its_text(server):
    assert "deep" in readable(get(server, "/nested")[0])


@given(st.text("<>/abc &;'\"=!-divspan", max_size=120))
def test_no_page_breaks_the_conversion(html):
    assert isinstance(markdown(html), str)


def test_an_agent_without_network_is_told_so(tmp_path):
    for name, args in (("web_fetch", {"url": "http://example.com"}), ("http_request", {"url": "http://example.com"})):
        found = run(name, args, Context(tmp_path).fields())
        assert not found["ok"]
        assert "may not reach the network" in found["text"]


def test_loopback_is_no_public_address_when_the_tools_themselves_are_called(tmp_path, server):
    ctx = Context(tmp_path, web=Web("web")).fields()
    for url in ("http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/latest/meta-data/"):
        found = run("web_fetch", {"url": url}, ctx)
        assert not found["ok"]
        assert "only public addresses may be reached" in found["text"], found["text"]
    assert server.asked == []


# -- search --------------------------------------------------------------------------------------------------------------


def test_without_a_search_engine_the_tool_says_so(tmp_path):
    found = run("web_search", {"query": "x"}, Context(tmp_path, web=Web("web")).fields())
    assert not found["ok"]
    assert "there is no search engine: none is configured" in found["text"]
    found = run("web_search", {"query": "x"}, Context(tmp_path, web=Web("web", search_provider="altavista")).fields())
    assert "'altavista' is not known" in found["text"]
    found = run("web_search", {"query": "x"}, Context(tmp_path, web=Web("web", search_provider="brave")).fields())
    assert "lacks its key" in found["text"]


def test_a_search_engine_at_home_is_reached_because_a_person_wrote_it_down(tmp_path, server):
    web = Web("web", search_provider="searxng", search_url=f"http://127.0.0.1:{server.port}")
    found = run("web_search", {"query": "a&b c", "count": 3}, Context(tmp_path, web=web).fields())
    assert found["ok"], found["text"]
    assert [hit["title"] for hit in found["data"]["hits"]] == ["T0", "T1", "T2"]
    assert server.last.target == "/search?q=a%26b+c&format=json"
    assert not run("web_fetch", {"url": f"http://127.0.0.1:{server.port}/ok"}, Context(tmp_path, web=web).fields())["ok"]
    none = run("web_search", {"query": "x"}, Context(tmp_path, web=replace(web, network="none")).fields())
    assert "may not reach the network" in none["text"]


def test_the_key_goes_to_the_engine_alone(server):
    web = Web("web", search_provider="brave", search_url=f"http://127.0.0.1:{server.port}", search_key="KEY")
    hits = search(web, "q", 5, Guard(hosts=(), trusted=web.search_url))
    assert hits[0].title == "B"
    assert server.last.headers["x-subscription-token"] == "KEY"
    broken = replace(web, search_provider="searxng", search_url=f"http://127.0.0.1:{server.port}/ok?")
    with pytest.raises(ToolError, match="something unexpected"):
        search(broken, "q", 5, Guard(hosts=(), trusted=broken.search_url))
    away = replace(web, search_provider="searxng", search_url=f"http://127.0.0.1:{server.port}/other?")
    with pytest.raises(ToolError, match=r"other.test may not be reached"):
        search(away, "q", 5, Guard(hosts=(), trusted=away.search_url))


def test_patterns_for_files_and_for_hosts_are_two_things():
    assert matcher("*.test")("public.test")
