"""web_search: asks the search engine a person has configured. Without one it says so; it never pretends."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from anima.tools.context import Context, Web
from anima.tools.schema import Within
from anima.tools.tool import How, Result, ToolError, tool
from anima.tools.web.guard import Guard, guard_for
from anima.tools.web.hosts import parse_url
from anima.tools.web.wire import Request


@dataclass(frozen=True, slots=True)
class Hit:
    """One result."""

    title: str
    url: str
    text: str


@dataclass(frozen=True, slots=True)
class _Provider:
    ask: Callable[[Web, str, int], Request]
    read: Callable[[Any], list[Any]]
    fields: tuple[str, str, str]  # title, url, text
    address: str = ""  # of engines that have one of their own; the others need it configured
    needs_key: bool = True


_BRAVE = "https://api.search.brave.com"
_TAVILY = "https://api.tavily.com"

_PROVIDERS: dict[str, _Provider] = {
    "searxng": _Provider(
        lambda web, query, _count: Request(f"{web.search_url.rstrip('/')}/search?{urlencode({'q': query, 'format': 'json'})}"),
        lambda found: found["results"],
        ("title", "url", "content"),
        needs_key=False,
    ),
    "brave": _Provider(
        lambda web, query, count: Request(
            f"{web.search_url or _BRAVE}/res/v1/web/search?{urlencode({'q': query, 'count': count})}",
            headers={"X-Subscription-Token": web.search_key, "Accept": "application/json"},
        ),
        lambda found: found.get("web", {}).get("results", []),
        ("title", "url", "description"),
        _BRAVE,
    ),
    "tavily": _Provider(
        lambda web, query, count: Request(
            f"{web.search_url or _TAVILY}/search",
            "POST",
            {"Authorization": f"Bearer {web.search_key}", "Content-Type": "application/json"},
            json.dumps({"query": query, "max_results": count}).encode(),
        ),
        lambda found: found["results"],
        ("title", "url", "content"),
        _TAVILY,
    ),
}


@tool(
    risk="safe",
    effect="pure",
    wall_s=60,
    keywords=("search", "web", "internet", "find", "news", "look", "google", "online"),
    how=How(network=True),
)
def web_search(ctx: Context, query: str, count: Annotated[int, Within(min=1, max=20)] = 8) -> Result:
    """Search the web: titles, addresses and a few words of each hit. Read a hit with web_fetch.

    Args:
        query: what to search for
        count: how many hits
    """
    hits = search(ctx.web, query, count, _guard(ctx.web))
    if not hits:
        return Result(ok=True, text=f"[{ctx.web.search_provider} finds nothing for '{query}']", data={"hits": []})
    text = "\n\n".join(f"{number}. {hit.title}\n{hit.url}\n{hit.text}" for number, hit in enumerate(hits, 1))
    return Result(ok=True, text=text, data={"hits": [{"title": hit.title, "url": hit.url} for hit in hits]})


def search(web: Web, query: str, count: int, guard: Guard) -> list[Hit]:
    """Ask the configured engine. Raises ToolError if there is none, or it does not answer as it should."""
    provider = _PROVIDERS.get(web.search_provider)
    if provider is None:
        named = f"'{web.search_provider}' is not known" if web.search_provider else "none is configured"
        raise ToolError(f"there is no search engine: {named}; a person can configure one of {', '.join(_PROVIDERS)}")
    if (provider.needs_key and not web.search_key) or not (web.search_url or provider.address):
        raise ToolError(f"the search engine {web.search_provider} lacks its {'key' if provider.needs_key else 'address'}")
    answer, _ = guard.fetch(provider.ask(web, query, count))
    if answer.status != 200:  # noqa: PLR2004
        raise ToolError(f"the search engine {web.search_provider} answered with status {answer.status}; try again later")
    try:
        found = provider.read(json.loads(answer.body))[:count]
        title, url, text = provider.fields
        return [Hit(str(hit.get(title, "")), str(hit[url]), str(hit.get(text, ""))[:500]) for hit in found]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(f"the search engine {web.search_provider} answered with something unexpected ({error!r})") from error


def _guard(web: Web) -> Guard:
    """Nothing but the engine itself may be reached; where a person wrote its address down, that may be a private one."""
    guard_for(web)  # an agent without network does not search either
    if web.search_url:
        return Guard(hosts=(), trusted=web.search_url)
    provider = _PROVIDERS.get(web.search_provider)
    return Guard(hosts=(parse_url(provider.address).host,) if provider else ())
