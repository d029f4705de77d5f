"""What a web page says, as text for a model: HTML as Markdown, JSON as it is, anything else told by its kind and size."""

import json
import re
from html.parser import HTMLParser

from anima.tools.files.content import binary_sort
from anima.tools.web.wire import Answer

_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_HTML_BYTES_MAX = 2 * 1024 * 1024  #: of HTML turned into Markdown; more than that is cut
_LEFT_OUT = ("script", "style", "noscript", "template", "svg", "iframe", "canvas", "form", "nav", "header", "footer", "aside")
_ALWAYS_OUT = ("script", "style", "noscript", "template", "svg", "iframe", "canvas")


def readable(answer: Answer) -> str:
    """The body as text."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    sort = binary_sort(answer.body)
    if not answer.body:
        return "[an empty body]"
    if sort or kind.startswith(("image/", "audio/", "video/", "font/")) or kind in ("application/pdf", "application/zip"):
        return f"[{sort or kind}, {len(answer.body):,} bytes; not text]"
    text = _decoded(answer, kind)
    if kind in ("text/html", "application/xhtml+xml") or (
        not kind and re.match(r"\s*<(!doctype html|html)", text, re.IGNORECASE)
    ):
        return markdown(text)
    if kind == "application/json" or kind.endswith("+json"):
        return _tidy_json(text)
    return text


def _decoded(answer: Answer, kind: str) -> str:
    header = _CHARSET.search(answer.headers.get("content-type", ""))
    named = header[1] if header else ""
    if not named and "html" in kind and (meta := _CHARSET.search(answer.body[:2048].decode("latin-1"))):
        named = meta[1]
    try:
        return answer.body.decode(named or "utf-8", "replace")
    except LookupError:  # a charset nobody knows
        return answer.body.decode("utf-8", "replace")


def _tidy_json(text: str) -> str:
    """Indented if that makes lines; as it came if it is no JSON after all, or very large."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        return text


def markdown(html: str) -> str:
    """The main part of a page as Markdown; its plain text if the page is too deeply nested for that."""
    import bs4  # both cost 150 ms; only web tools pay
    from markdownify import MarkdownConverter

    try:
        soup = bs4.BeautifulSoup(html[:_HTML_BYTES_MAX], "html.parser")
        title = soup.title.get_text(" ", strip=True) if soup.title else ""
        main = soup.find("main") or soup.find("article") or soup.find(True, attrs={"role": "main"})
        root = main or soup.body or soup
        for each in root.find_all(_ALWAYS_OUT if main else _LEFT_OUT):
            each.decompose()
        converter = MarkdownConverter(heading_style="ATX", bullets="-", strip=["img"])
        text = converter.convert_soup(root)
    except (RecursionError, AssertionError):
        title, text = "", _plain_text(html[:_HTML_BYTES_MAX])
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return f"# {title}\n\n{text}" if title and not text.startswith("# ") else text


class _Texts(HTMLParser):
    """Nothing but the text; bears any nesting, because it keeps no tree."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in ("script", "style"):
            self._silent = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._silent:
            self._silent = ""

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.pieces.append(data.strip())


def _plain_text(html: str) -> str:
    parser = _Texts()
    parser.feed(html)
    parser.close()
    return "\n".join(parser.pieces)
