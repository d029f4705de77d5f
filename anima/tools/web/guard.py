"""The one door to the network: every request, and every redirect of it, is checked before it is dialled.

Covered: other schemes and ports; names that lead to private, loopback, link-local, reserved or disguised addresses, all
addresses of a name looked at and one refused address refusing it; a name that leads elsewhere the second time (it is looked up
once, and what was checked is what is dialled, with Host and TLS name kept); redirects to any of these; hosts the agent may not
reach; proxies from the environment (never read); bodies without end, compressed ones that grow, servers that drip or stall: one
deadline binds look-up, connection, headers, body and redirects together.
Not covered: what a public server does with what it is sent.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from anima.limits import web_body_bytes_max, web_redirects_max, web_total_s
from anima.tools.context import Web
from anima.tools.tool import ToolError
from anima.tools.web.hosts import Address, Target, join_url, normalise_host, not_public, parse_url
from anima.tools.web.wire import Answer, Request, exchange

REDIRECTS = frozenset({301, 302, 303, 307, 308})

Resolver = Callable[[str, int], Sequence[str]]


def system_resolver(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, as the system knows them. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules of one agent.

    Resolver, judge, ports and certificates are parameters so that a test can put a loopback server in the place of a public
    one; a program has no reason to give them.
    """

    hosts: tuple[str, ...] | None = None  #: None: any public host; (): none
    resolver: Resolver = system_resolver
    judge: Callable[[Address], str] = not_public  #: why an address is refused, "" if it is not
    ports: frozenset[int] = frozenset({80, 443})
    trusted: str = ""  #: an origin a person wrote into the configuration (a SearXNG at home): its address may be private
    body_bytes_max: int = web_body_bytes_max
    redirects_max: int = web_redirects_max
    total_s: float = web_total_s
    certificates: str = ""  #: file with the authorities to trust; "": those of certifi

    def fetch(self, request: Request) -> tuple[Answer, Target]:
        """The answer after redirects, and where it came from. Raises ToolError if a rule or the network forbids it."""
        deadline = time.monotonic() + self.total_s
        target = parse_url(request.url)
        method, headers, body = request.method, dict(request.headers), request.body
        for _ in range(self.redirects_max + 1):
            addresses = self.check(target, deadline)
            sent = Request(target.url, method, headers, body)
            answer = exchange(sent, target, addresses, deadline, self.body_bytes_max, self.certificates)
            location = answer.headers.get("location")
            if answer.status not in REDIRECTS or location is None:
                return answer, target
            following = self._follow(target, location)
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):  # noqa: PLR2004
                method, body = ("HEAD" if method == "HEAD" else "GET"), b""
            if following.origin != target.origin:
                headers = _without_secrets(headers)
                if body:
                    raise ToolError(
                        f"{target.origin} redirects to {following.origin}; what was to be sent is not sent on to another host"
                    )
            target = following
        raise ToolError(f"{request.url} redirects more than {self.redirects_max} times")

    def _follow(self, target: Target, location: str) -> Target:
        try:
            return join_url(target, location)
        except ToolError as error:
            raise ToolError(f"{target.url} redirects to '{location[:200]}', where this may not go: {error}") from error
        except ValueError as error:
            raise ToolError(f"{target.url} redirects to '{location[:200]}', which is no URL") from error

    def check(self, target: Target, deadline: float) -> list[str]:
        """The addresses that may be dialled for a target. Raises ToolError if any rule forbids it."""
        trusted = bool(self.trusted) and target.origin == parse_url(self.trusted).origin
        if target.port not in self.ports and not trusted:
            raise ToolError(f"port {target.port} of {target.host} may not be reached; only 80 and 443 are")
        if self.hosts is not None and not trusted and not any(_is_meant(target.host, each) for each in self.hosts):
            named = ", ".join(self.hosts) or "none"
            raise ToolError(f"{target.host} is not among the hosts this agent may reach ({named})")
        addresses = self._look_up(target, deadline)
        for text in addresses:
            try:
                why = self.judge(ipaddress.ip_address(text))
            except ValueError:
                why = "no address this can judge"  # a zone, for one: fe80::1%eth0
            if why and not trusted:
                raise ToolError(f"{target.host} leads to {text}, which is {why}; only public addresses may be reached")
        return addresses

    def _look_up(self, target: Target, deadline: float) -> list[str]:
        """Every address of the host, each once. The system's look-up knows no deadline, so a thread waits in our place."""
        try:
            return [str(ipaddress.ip_address(target.host))]
        except ValueError:
            pass
        found: list[str] = []
        failed: list[OSError | UnicodeError] = []

        def ask() -> None:
            try:
                found.extend(dict.fromkeys(self.resolver(target.host, target.port)))
            except (OSError, UnicodeError) as error:
                failed.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(max(0.0, deadline - time.monotonic()))
        if asking.is_alive():
            raise ToolError(f"looking up {target.host} took too long")
        if failed:
            raise ToolError(f"the host {target.host} is not known ({failed[0].args[-1] if failed[0].args else failed[0]})")
        if not found:
            raise ToolError(f"the host {target.host} has no address")
        return found


def guard_for(web: Web) -> Guard:
    """The guard of an agent's configuration. Raises ToolError if it may not reach the network at all."""
    if web.network == "web":
        return Guard()
    if web.network == "hosts" and web.hosts:
        return Guard(hosts=web.hosts)
    raise ToolError("this agent may not reach the network; a person can allow it with 'network' in its configuration")


def _is_meant(host: str, allowed: str) -> bool:
    """Whether a host is the one allowed, or below it if that is written *.name."""
    if allowed.startswith("*."):
        return host.endswith(f".{normalise_host(allowed[2:])}")
    return host == normalise_host(allowed)


_HARMLESS = frozenset({"accept", "accept-language", "user-agent"})


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """What may be sent on to another origin: any other header might be a key."""
    return {name: value for name, value in headers.items() if name.lower() in _HARMLESS}
