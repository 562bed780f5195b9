"""The website: addresses, the build as a whole, mathematics, feed, inspection, serving."""

import json
import shutil
import socket
import subprocess
import threading
import tomllib
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from small_site import FILES, P0, P1, REPOSITORY, ROOT, SECRET, plant, read, replace, stage, write

from journal.site import addresses, build, feed, inspection, mathematics, serve, staging
from journal.site.addresses import Repository
from journal.site.markdown import Formulas


@pytest.fixture
def root(tmp_path):
    return plant(tmp_path / "journal")


# ---- addresses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remote", "address", "site"),
    [
        ("https://github.com/Ab/c.git", "https://github.com/Ab/c", "https://ab.github.io/c/"),
        ("git@github.com:ab/c.git\n", "https://github.com/ab/c", "https://ab.github.io/c/"),
        ("ssh://git@github.com:22/ab/c", "https://github.com/ab/c", "https://ab.github.io/c/"),
        ("https://me:token@github.com/ab/c/", "https://github.com/ab/c", "https://ab.github.io/c/"),
        (
            "git@github.com:ab/ab.github.io",
            "https://github.com/ab/ab.github.io",
            "https://ab.github.io/",
        ),
        ("git@gitlab.com:a/b/c.git", "https://gitlab.com/a/b/c", "https://a.gitlab.io/b/c/"),
        ("https://git.example.org/a/b", "https://git.example.org/a/b", None),
    ],
)
def test_remote_tells_the_addresses_of_repository_and_site(remote, address, site):
    found = addresses.parse(remote)
    assert found is not None
    assert (found.address, found.pages) == (address, site)


@pytest.mark.parametrize(
    "remote",
    [
        "",
        "/srv/git/a.git",
        "../a",
        "file:///srv/a/b.git",
        "C:\\git\\a",
        "https://github.com/a",
        "a:b",
    ],
)
def test_remote_that_is_no_place_on_the_web_is_none(remote):
    assert addresses.parse(remote) is None


def test_files_and_folders_have_an_address_on_each_kind_of_host():
    assert REPOSITORY.of("a/b c.py") == "https://github.com/someone/journal/blob/main/a/b%20c.py"
    other = Repository("gitlab.com", "someone/journal")
    assert other.of("a", folder=True) == "https://gitlab.com/someone/journal/-/tree/main/a"


def test_remote_is_read_from_git_and_its_absence_is_no_fault(tmp_path):
    assert addresses.repository(tmp_path) is None
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert addresses.repository(tmp_path) is None
    command = [
        "git",
        "-C",
        str(tmp_path),
        "remote",
        "add",
        "origin",
        "git@github.com:someone/journal",
    ]
    subprocess.run(command, check=True)
    assert addresses.repository(tmp_path) == REPOSITORY


def test_setting_decides_else_the_remote_else_this_machine():
    assert addresses.site("https://a.example/b", REPOSITORY)[0] == "https://a.example/b/"
    assert addresses.site("", REPOSITORY)[0] == "https://someone.github.io/journal/"
    address, why = addresses.site("", None)
    assert address == "http://127.0.0.1:8000/"
    assert "no remote" in why
    assert "write it as site_url" in addresses.site("", Repository("git.example.org", "a/b"))[1]
    with pytest.raises(ValueError, match="site_url is an address"):
        addresses.site("someone.github.io/journal", None)


# ---- the whole site, without formulas ------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The planted journal, built: (its folder, the site). Without formulas, so without node."""
    root = plant(tmp_path_factory.mktemp("site") / "journal")
    return root, build.build(root).path


def test_built_site_has_every_page_and_nothing_of_the_draft(site):
    _, built = site
    for page in ("", "roadmap", P0, f"{P0}/notes/vectors", "blog", "blog/the-first-post", "tags"):
        assert (built / page / "index.html").is_file(), page
    assert (built / "404.html").is_file()
    for path in built.rglob("*"):
        if path.suffix in (".html", ".json", ".xml"):
            assert SECRET not in path.read_text(encoding="utf-8"), path
    assert not (built / "blog/a-draft").exists()


def test_list_of_posts_shows_the_opening_alone(site):
    page = read(site[1], "blog/index.html")
    assert "An opening with" in page
    assert "The rest" not in page
    assert "The second post" in page  # still to come
    assert "The first post" in read(site[1], "tags/index.html")


def test_search_finds_sections_of_pages(site):
    items = json.loads(read(site[1], "search.json"))["items"]
    assert f"{P0}/notes/vectors/#the-idea" in {item["location"] for item in items}


def test_page_with_a_figure_has_its_program_and_others_have_not(site):
    _, built = site
    assert "assets/figures/load.js" in read(built, "blog/the-first-post/index.html")
    assert "assets/figures/load.js" not in read(built, f"{P0}/index.html")
    assert (built / "assets/figures/wheel.js").is_file()


def test_figure_has_the_recorded_numbers_that_it_shows_beside_it(tmp_path):
    root = plant(tmp_path / "journal")
    result = f"{P0}/results/turns.json"
    part = f'[wheel]\nresult = "{result}"\nkey = "metrics.attention"\n'
    write(root, "website/figures/recorded.toml", part)
    assert staging.recorded_parts(root) == tomllib.loads(part)
    with pytest.raises(FileNotFoundError, match="run the script of that name with --record"):
        stage(root)
    for wrong in ({}, {"metrics": 1}, {"metrics": {"loss": 1}}):
        write(root, result, json.dumps(wrong))
        with pytest.raises(ValueError, match=r"has no value 'metrics\.attention': run its script"):
            stage(root)
    weights = {"cross": {"rows": ["ä"], "columns": ["a", "b"], "weights": [[[[0.25, 0.75]]]]}}
    write(root, result, json.dumps({"metrics": {"attention": weights, "loss": 1}}))
    staged = stage(root) / "assets" / "figures"
    assert json.loads(read(staged, "wheel.json")) == weights
    assert {path.name for path in staged.iterdir()} == {
        *("load.js", "wheel.js", "wheel.json", "figure.css"),
    }


def test_feed_has_the_posts_with_addresses_that_hold_anywhere(site):
    channel = ET.fromstring(read(site[1], "feed.xml")).find("channel")
    assert channel is not None
    (item,) = channel.findall("item")
    address = "http://127.0.0.1:8000/blog/the-first-post/"
    assert item.findtext("title") == "The first post"
    assert item.findtext("link") == item.findtext("guid") == address
    assert item.findtext("pubDate") == "Sun, 01 Mar 2026 00:00:00 +0000"
    assert item.findtext("description") == "What a vector is."
    assert [tag.text for tag in item.findall("category")] == ["vectors", "beginnings"]
    whole = item.findtext(f"{{{feed.CONTENT}}}encoded") or ""
    assert f'href="http://127.0.0.1:8000/{P0}/notes/vectors/"' in whole
    assert f'src="http://127.0.0.1:8000/{P0}/results/a.svg"' in whole
    assert 'type="application/rss+xml"' in read(site[1], f"{P0}/index.html")


def test_failed_build_leaves_the_former_site(site):
    root, built = site
    before = read(built, "index.html")
    replace(root, f"{P1}/README.md", "To come.", "[Broken](nothing.md)")
    with pytest.raises(ValueError, match="which is not there"):
        build.build(root)
    write(root, f"{P1}/README.md", FILES[f"{P1}/README.md"])
    assert read(built, "index.html") == before


def test_fault_of_the_generator_is_told(root):
    stage(root)
    with pytest.raises(ValueError, match=r"zensical does not build the site:\n(.|\n)*nav"):
        build.generate(root, {"site_name": "x", "docs_dir": "site-src", "nav": 5})


def test_two_builds_in_one_folder_are_refused_and_the_next_is_not(root):
    with (
        build.alone(root / "build"),
        pytest.raises(ValueError, match=r"another build of the site is at work in .*: wait"),
    ):
        build.build(root)
    with build.alone(root / "build"):
        assert not (root / "build" / "site").exists()


def test_title_of_the_home_page_has_the_sites_name_once(site):
    root, _ = site
    replace(root, "README.md", "# A journal", "# Transformers from scratch: a journal")
    built = build.build(root).path
    write(root, "README.md", FILES["README.md"])
    assert "<title>Transformers from scratch: a journal</title>" in read(built, "index.html")
    assert "<title>Vectors - Transformers from scratch</title>" in read(
        built, f"{P0}/notes/vectors/index.html"
    )


def test_signs_of_html_in_a_title_or_description_are_words(root):
    post = f"{P0}/blog/the-first-post.md"
    replace(root, post, 'title: "The first post"', "title: 'A <b> & \"c\"'")
    replace(root, post, "What a vector is.", 'Not <i>, not "this" & that.')
    built = build.build(root).path
    page = read(built, "blog/the-first-post/index.html")
    title = "A &lt;b&gt; &amp; &quot;c&quot;"
    assert f"<title>{title} - Transformers from scratch</title>" in page
    assert 'content="Not &lt;i&gt;, not &quot;this&quot; &amp; that."' in page
    assert title in read(built, "tags/index.html")
    for name in ("blog/index.html", "blog/the-first-post/index.html", "tags/index.html"):
        assert "<b>" not in read(built, name)
        assert "&amp;lt;" not in read(built, name)
    assert 'A &lt;b&gt; &amp; "c"' in read(built, "feed.xml")


def test_settings_that_are_no_toml_are_refused(root):
    write(root, "website/zensical.toml", "[project\n")
    with pytest.raises(ValueError, match=r"website/zensical\.toml must be TOML"):
        build.read_settings(root)


# ---- inspection ----------------------------------------------------------------------------

HEAD = '<meta http-equiv="Content-Security-Policy" content="default-src \'self\'">'
SPOILT = {  # what a page or file of a site has: what is said of it
    '<a href="b/">b</a>': "index.html: b/ leads to nothing",
    '<a href="a/#no">a</a>': "index.html: a/#no leads to an anchor that a/index.html does not have",
    '<a href="/other/">b</a>': "/other/ leads to nothing",
    '<img src="no.svg">': "no.svg leads to nothing",
    '<img src="https://example.org/a.png">': "https://example.org/a.png is loaded from elsewhere",
    '<img srcset="//example.org/a.png 2x">': "//example.org/a.png is loaded from elsewhere",
    '<script src="https://example.org/a.js"></script>': "is loaded from elsewhere",
    '<link rel="stylesheet" href="https://example.org/a.css">': "is loaded from elsewhere",
    '<link rel="icon" href="//example.org/a.ico">': "is loaded from elsewhere",
    '<iframe src="https://example.org/"></iframe>': "is loaded from elsewhere",
    '<p style="background: url(https://example.org/a.png)">': "is loaded from elsewhere",
    '<style>@import "https://example.org/a.css";</style>': "is loaded from elsewhere",
    '<video poster="https://example.org/a.png"></video>': "is loaded from elsewhere",
    '<base href="/base/">': "an element of class or kind 'base' makes the site load",
    '<meta http-equiv="refresh" content="0;url=https://example.org/">': "kind 'meta' makes",
    '<pre class="mermaid">a</pre>': "an element of class or kind 'mermaid' makes the site load",
}
FINE = (
    f'{HEAD}<a href="https://example.org/">x</a><a href="a/#here">a</a><a href="/base/a/">a</a>'
    '<link rel="canonical" href="https://example.org/"><img src="data:image/png;base64,AA==">'
    '<a href="#top" id="top">t</a>'
)


def spoilt_site(root: Path, page: str) -> list[str]:
    write(root, "index.html", page)
    write(root, "a/index.html", f'{HEAD}<p id="here"></p>')
    return list(inspection.faults(root, "https://example.org/base/"))


def test_site_in_order_has_no_faults(tmp_path):
    assert spoilt_site(tmp_path, FINE) == []


@pytest.mark.parametrize("spoilt", SPOILT)
def test_fault_of_a_page_is_found(tmp_path, spoilt):
    assert SPOILT[spoilt] in "\n".join(spoilt_site(tmp_path, FINE + spoilt))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "x.css",
            "a{background:url(https://example.org/a.png)}",
            "x.css: https://example.org/a.png",
        ),
        (
            "x.css",
            'a{b:image-set("//example.org/a.png" 1x)}',
            "x.css: //example.org/a.png is loaded",
        ),
        ("x.css", "a{src:url(fonts/no.woff2)}", "x.css: fonts/no.woff2 leads to nothing"),
        ("x.js", "fetch(`//example.org/a`)", "x.js: a program may not know the address //example"),
        ("x.js", 'import { a } from "./no.js";', "x.js: ./no.js leads to nothing"),
        ("x.js", "await import('./no.js')", "x.js: ./no.js leads to nothing"),
        ("x.js", "import('https://example.org/a.js')", "x.js: a program may not know the address"),
        ("x.svg", '<svg><image href="https://example.org/a.png"/></svg>', "x.svg: https://example"),
    ],
)
def test_file_that_would_load_from_elsewhere_is_found(tmp_path, name, text, says):
    write(tmp_path, name, text)
    assert says in "\n".join(spoilt_site(tmp_path, FINE))


def test_page_without_the_policy_and_site_without_a_page_are_found(tmp_path):
    assert "does not forbid" in spoilt_site(tmp_path, "<p>x</p>")[0]
    assert "has no page" in next(inspection.faults(tmp_path / "a" / "none", "https://a.example/"))


# ---- mathematics ---------------------------------------------------------------------------


def test_formulas_are_put_into_their_places_and_taken_out_for_feeds():
    formulas = Formulas()
    page = formulas.place("a < b", "x.md:1", display=False) + formulas.place(
        "c", "x.md:2", display=True
    )
    assert mathematics.put_in(page, ["<b>1</b>", "<b>2</b>"]) == ("<b>1</b><b>2</b>", 2)
    long = formulas.place("x" * 61, "x.md:3", display=False)
    assert mathematics.put_in(long, ["", "", "3"])[0] == '<span class="long">3</span>'
    assert mathematics.take_out(page) == "$a &lt; b$$c$"


def test_without_node_and_uv_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="neither node nor uv is on the PATH: install"):
        mathematics.tools(tmp_path, "node")
    write(tmp_path, ".tools/bin/uv", "")
    command = mathematics.tools(tmp_path, "npm")
    assert command[0] == str(tmp_path / ".tools/bin/uv")
    assert command[-2:] == [mathematics.WHEEL, "npm"]


def test_node_that_answers_something_else_is_told(tmp_path, monkeypatch):
    write(tmp_path, "build/katex/x", "")
    formulas = Formulas()
    formulas.place("x", "x.md:1", display=False)
    monkeypatch.setattr(mathematics, "tools", lambda root, name: [name])
    monkeypatch.setattr(mathematics.subprocess, "run", answer_with("v4.0"))
    with pytest.raises(ValueError, match="node must answer with the formulas as json, and said 'v"):
        mathematics.set_all(tmp_path, formulas, {"katex.js": b""})


def answer_with(text: str):
    return lambda command, **options: subprocess.CompletedProcess(command, 0, text, "")


def test_package_that_cannot_be_fetched_or_is_another_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mathematics, "tools", lambda root, name: ["git", "no-such-command"])
    with pytest.raises(ConnectionError, match=r"KaTeX 0\.19\.1 could not be fetched by npm"):
        mathematics.package(tmp_path)
    write(tmp_path, "build/katex/other.tgz", "other")
    copy = ["git", "-c", f"alias.copy=!cp other.tgz {mathematics.ARCHIVE} #", "copy"]
    monkeypatch.setattr(mathematics, "tools", lambda root, name: copy)
    with pytest.raises(ValueError, match="its hash differs"):
        mathematics.package(tmp_path)
    assert not (tmp_path / "build/katex" / mathematics.ARCHIVE).exists()


@pytest.fixture
def katex(tmp_path):
    """A folder with KaTeX's package and the program that runs it."""
    package = ROOT / "build" / "katex" / mathematics.ARCHIVE
    if not shutil.which("node"):
        pytest.skip("formulas are set with node, which is not on the PATH")
    if not package.is_file():
        pytest.skip("KaTeX's package is not here; `make site` fetches it")
    (tmp_path / "build/katex").mkdir(parents=True)
    shutil.copyfile(package, tmp_path / "build/katex" / package.name)
    write(tmp_path, mathematics.RENDERER, read(ROOT, mathematics.RENDERER))
    return tmp_path


def test_package_that_is_there_is_not_fetched(katex, monkeypatch):
    monkeypatch.setattr(mathematics, "tools", lambda root, name: ["no-such-program"])
    files = mathematics.read(mathematics.package(katex))
    assert {"LICENSE", "katex.js", "katex.min.css", "fonts/KaTeX_Main-Regular.woff2"} <= set(files)
    assert not inspection.ADDRESS.search(files["katex.min.css"].decode())
    styles = inspection.styles(files["katex.min.css"].decode())
    assert set(styles) == {name for name in files if name.startswith("fonts/")}


def test_formulas_are_set_with_words_for_screen_readers(katex):
    formulas = Formulas()
    formulas.place(r"\boxed{\frac{a}{b}}", "x.md:1", display=True)
    (html,) = mathematics.set_all(katex, formulas, mathematics.read(mathematics.package(katex)))
    assert html.startswith('<span class="katex-display">')
    assert "<math" in html
    assert 'aria-hidden="true"' in html


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (r"\frac{1}", "Unexpected end of input"),
        (r"\nonsense", "Undefined control"),
        ("a é b", "unicode"),
    ],
)
def test_formula_that_does_not_parse_fails_with_file_and_line(katex, source, reason):
    formulas = Formulas()
    formulas.place("x", "fine.md:1", display=False)
    formulas.place(source, "bad.md:7", display=False)
    with pytest.raises(ValueError, match=r"^bad\.md:7: KaTeX does not take the formula") as error:
        mathematics.set_all(katex, formulas, mathematics.read(mathematics.package(katex)))
    assert reason.lower() in str(error.value).lower()
    assert "fine.md" not in str(error.value)


# ---- serving -------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path):
    write(tmp_path, "index.html", "home")
    write(tmp_path, "404.html", "not here")
    write(tmp_path, "a/index.html", "a page")
    write(tmp_path, "b/x.js", "1")
    with serve.listen(tmp_path, "https://someone.github.io/journal/", "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def get(address: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]


def test_site_is_served_at_the_root_and_under_its_public_path(served):
    assert get(f"{served}/")[:2] == (200, "home")
    assert get(f"{served}/a/")[:2] == get(f"{served}/journal/a/")[:2] == (200, "a page")
    assert get(f"{served}/journal")[:2] == (200, "home")  # sent on to /journal/
    assert get(f"{served}/b/x.js")[2] == "text/javascript"


def test_what_is_not_there_is_the_sites_own_page_and_folders_are_not_listed(served):
    assert get(f"{served}/nothing")[:2] == (404, "not here")
    assert get(f"{served}/b/")[:2] == (404, "not here")
    assert get(f"{served}/../../etc/passwd")[0] == 404


def test_taken_port_and_wrong_port_are_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} is taken by another program: choose"):
            serve.listen(tmp_path, addresses.LOOPBACK, "127.0.0.1", port)
    with pytest.raises(ValueError, match="--port is a number from 0 to 65535"):
        serve.listen(tmp_path, addresses.LOOPBACK, "127.0.0.1", 70000)
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1"):
        serve.listen(tmp_path, addresses.LOOPBACK, "192.0.2.1", 0)
