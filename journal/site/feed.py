"""The feed of the posts (RSS 2.0), from the built pages.

An entry has the post whole, with addresses that hold anywhere, still pictures in the place of
interactive ones, and formulas as they are written, since readers of feeds know no style sheets.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from html import escape, unescape
from pathlib import Path
from urllib.parse import urljoin

from journal.pages import Page
from journal.site.mathematics import take_out
from journal.site.passthrough import END, START

ATOM = "http://www.w3.org/2005/Atom"
CONTENT = "http://purl.org/rss/1.0/modules/content/"
WHOLE = re.compile(f"{re.escape(START)}(.*?){re.escape(END)}", re.DOTALL)
ADDRESS = re.compile(r'\b(href|src)="([^"]*)"')
NOT_FOR_FEEDS = re.compile(r'<h1\b.*?</h1>|<a class="headerlink".*?</a>|<!--.*?-->', re.DOTALL)


def write(site: Path, address: str, title: str, about: str, posts: Sequence[Page]) -> str:
    """The feed of these posts, the newest first; `site` has their pages, formulas not yet set."""
    ET.register_namespace("atom", ATOM)
    ET.register_namespace("content", CONTENT)
    rss = ET.Element("rss", version="2.0")
    channel = ET.SubElement(rss, "channel")
    for name, text in (("title", title), ("link", address), ("description", about)):
        ET.SubElement(channel, name).text = text
    ET.SubElement(channel, "language").text = "en"
    itself = {"href": urljoin(address, "feed.xml"), "rel": "self", "type": "application/rss+xml"}
    ET.SubElement(channel, f"{{{ATOM}}}link", itself)
    if posts:
        ET.SubElement(channel, "lastBuildDate").text = _when(posts[0])
    for post in posts:
        _entry(channel, site, urljoin(address, f"blog/{post.path.stem}/"), post)
    ET.indent(rss)
    return ET.tostring(rss, encoding="unicode", xml_declaration=True) + "\n"


def _entry(channel: ET.Element, site: Path, address: str, post: Page) -> None:
    item = ET.SubElement(channel, "item")
    ET.SubElement(item, "title").text = post.title
    ET.SubElement(item, "link").text = address
    ET.SubElement(item, "guid", isPermaLink="true").text = address
    ET.SubElement(item, "pubDate").text = _when(post)
    if post.front.get("description"):
        ET.SubElement(item, "description").text = str(post.front["description"])
    tags = post.front.get("tags")
    for tag in tags if isinstance(tags, list) else []:
        ET.SubElement(item, "category").text = str(tag)
    page = (site / "blog" / post.path.stem / "index.html").read_text(encoding="utf-8")
    ET.SubElement(item, f"{{{CONTENT}}}encoded").text = content(page, address)


def content(page: str, address: str) -> str:
    """What a built page says, for a reader who is elsewhere."""
    found = WHOLE.search(page)
    if found is None:
        raise RuntimeError("the generator has changed the pages: their beginning is not marked")
    text = NOT_FOR_FEEDS.sub("", take_out(found[1]))

    def whole(link: re.Match[str]) -> str:
        return f'{link[1]}="{escape(urljoin(address, unescape(link[2])))}"'

    return ADDRESS.sub(whole, text).strip()


def _when(post: Page) -> str:
    """The post's date as feeds write it; a date alone is its midnight, UTC."""
    when = post.front["date"]
    assert isinstance(when, date), "staging refuses a published post without a date"
    at = when if isinstance(when, datetime) else datetime.combine(when, time())
    return format_datetime(at if at.tzinfo else at.replace(tzinfo=UTC))
