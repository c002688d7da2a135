"""What a page of HTML says: its title and where its links lead."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from yarl import URL


@dataclass
class Page:
    title: str = ""
    links: list[URL] = field(default_factory=list)


def read_page(url: URL, text: str) -> Page:
    """Parse the HTML at `url`; links that are no addresses of the web are left out, fragments cut off."""
    reader = _Reader(url)
    reader.feed(text)
    reader.close()
    return Page(" ".join("".join(reader.title).split()), list(dict.fromkeys(reader.links)))


class _Reader(HTMLParser):
    def __init__(self, url: URL) -> None:
        super().__init__()
        self.base = url
        self.links: list[URL] = []
        self.title: list[str] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_title = tag == "title"
        where = dict(attrs).get("href")
        if where is None or tag not in ("a", "area", "base"):
            return
        try:
            target = self.base.join(URL(where.strip())).with_fragment(None)
        except ValueError:
            return
        if tag == "base":
            self.base = target
        elif target.scheme in ("http", "https") and target.host:
            self.links.append(target)

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
