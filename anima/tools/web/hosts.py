"""What a URL leads to, in one form that is checked and dialled alike, and which addresses are nobody's but the public's.

Covered: two parsers that read one URL differently (there is one, and it refuses what is unusual); names that hide an address
(decimal, hex, octal, short, full-width digits, IPv6 with IPv4 inside); names that are not what they look like (IDN is turned
into its ASCII form before anything else). Not covered: a public server that is hostile.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin

import idna

from anima.tools.tool import ToolError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"\d+|0x[0-9a-f]*")
_URL_CHARS_MAX = 8_000
_KEPT_IN_TARGET = "!#$%&'()*+,/:;=?@[]~"
DEFAULT_PORTS = {"http": 80, "https": 443}

_REFUSED = {
    ipaddress.ip_network(network): why
    for network, why in {
        "0.0.0.0/8": "this machine",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "of a provider's inner network",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local, where clouds keep their secrets",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved",
        "192.0.2.0/24": "for documentation",
        "192.31.196.0/24": "reserved",
        "192.52.193.0/24": "reserved",
        "192.88.99.0/24": "6to4 relay",
        "192.168.0.0/16": "private",
        "192.175.48.0/24": "reserved",
        "198.18.0.0/15": "for benchmarks",
        "198.51.100.0/24": "for documentation",
        "203.0.113.0/24": "for documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "2001::/23": "reserved (Teredo among it)",
        "2001:db8::/32": "for documentation",
        "2002::/16": "6to4, which hides an IPv4 address",
        "2620:4f:8000::/48": "reserved",
        "3fff::/20": "for documentation",
    }.items()
}
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")  #: all that is given out; everything else has a special meaning


def not_public(address: Address) -> str:
    """Why an address is not one of the public internet ("private", "loopback"); "" if it is."""
    for network, why in _REFUSED.items():
        if address in network:
            return why
    if address.version == 6 and address not in _GLOBAL_V6:  # noqa: PLR2004 - loopback, ULA, link-local, mapped, NAT64, ...
        return "loopback" if address.is_loopback else "link-local" if address.is_link_local else "not of the public internet"
    return "" if address.is_global and not address.is_multicast else "not of the public internet"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads. `host` is the one string that is checked, dialled, sent as Host and asked for in TLS."""

    scheme: str
    host: str  #: lower case ASCII, no dot at its end; an IPv6 address without brackets
    port: int
    target: str  #: path and query, as sent

    @property
    def authority(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """What decides whether a redirect stays at home."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The whole, normalised."""
        return self.origin + self.target


def parse_url(url: str) -> Target:
    """The target of an absolute http(s) URL. Raises ToolError with what is wrong."""
    if len(url) > _URL_CHARS_MAX:
        raise ToolError(f"the URL is longer than {_URL_CHARS_MAX} characters")
    text = url.strip(" ")
    if found := re.search(r"[\x00-\x20\x7f-\x9f\\\s\ud800-\udfff]", text):
        raise ToolError(f"the URL contains {found[0]!r}, which no URL may; write it as %{ord(found[0]):02X} if it is meant")
    match = _URL.fullmatch(text)
    if match is None:
        scheme = text.partition(":")[0] if ":" in text else ""
        what = f"'{scheme}:' is not reached" if scheme and "://" in text else f"'{text[:80]}' is no whole URL"
        raise ToolError(f"{what}; only http:// and https:// are")
    scheme, authority = match[1].lower(), match[2]
    if "@" in authority:
        raise ToolError("the URL has a user or password before its host; give credentials in a header if they are meant")
    host, port = _split_port(authority, DEFAULT_PORTS[scheme])
    path = match[3] or "/"
    return Target(scheme, normalise_host(host), port, quote(path if path[0] == "/" else f"/{path}", safe=_KEPT_IN_TARGET))


def join_url(current: Target, location: str) -> Target:
    """Where a redirect leads, relative or not, by the same rules."""
    return parse_url(urljoin(current.url, location))


def _split_port(authority: str, default: int) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(\d{0,5}))?", authority)
    if match is None:
        raise ToolError(f"'{authority[:80]}' is no host; an IPv6 address stands in brackets")
    port = int(match[2]) if match[2] else default
    if not 0 < port < 65_536:  # noqa: PLR2004 - TCP
        raise ToolError(f"{port} is no port")
    return match[1], port


def normalise_host(host: str) -> str:
    """The one form of a host name or address. Raises ToolError for what is neither, or only almost one.

    Idempotent: what comes out goes through unchanged (an IPv6 address in its brackets).
    """
    if host.startswith("["):
        return str(_v6(host))
    if not host or len(host) > 1_000:  # noqa: PLR2004 - before the costly steps; 253 is checked after them
        raise ToolError("the URL names no host" if not host else "the host name is too long")
    if found := re.search(r"[\x00-\x20\x7f\s@\\/:?#%\[\]<>^|`{}\"]", host):
        raise ToolError(f"the host name contains {found[0]!r}, which no host name may")
    try:
        plain = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError, ValueError) as error:
        raise ToolError(f"'{host[:80]}' is no host name: {error}") from error
    plain = plain.lower().removesuffix(".")
    labels = plain.split(".")
    if len(plain) > 253 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004 - RFC 1035
        raise ToolError(f"'{host[:80]}' is no host name")
    if not _NUMERIC.fullmatch(labels[-1]):
        return plain
    try:
        return str(ipaddress.IPv4Address(plain))  # strict: four decimal numbers, none with a leading zero
    except ValueError as error:
        raise ToolError(f"'{host[:80]}' is an address written in an unusual way; write four decimal numbers") from error


def _v6(host: str) -> ipaddress.IPv6Address:
    try:
        if "%" in host or not host.endswith("]"):
            raise ValueError("a zone, or no end")
        return ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        raise ToolError(f"'{host[:80]}' is no IPv6 address") from error
