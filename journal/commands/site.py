"""`journal site`: build the website, and look at it on this machine."""

import tyro

from journal import roadmap

ABOUT = "The website: build it, and serve it on this machine."
COMMANDS = ("build", "serve")

app = tyro.extras.SubcommandApp()


@app.command
def build() -> None:
    """Build the site into build/site; the former one is replaced only where all went well."""
    from journal.site import build

    root = roadmap.find_root()
    built = build.build(root)
    print(
        f"{built.path.relative_to(root).as_posix()}: {built.pages} pages, "
        f"{_count(built.posts, 'post')}, {built.formulas} formulas, {built.seconds:.1f} s"
    )
    print(f"  for {built.address} ({built.why})")


@app.command
def serve(port: int = 8000, host: str = "127.0.0.1") -> int:
    """Serve the built site on this machine, until Ctrl-C; it is built first where it is not there.

    Args:
        port: where it listens; 0 takes a free one
        host: 127.0.0.1 is seen from this machine alone, 0.0.0.0 from others too
    """
    from journal.site import addresses, build, serve

    root = roadmap.find_root()
    site = root / "build" / "site"
    if not (site / "index.html").is_file():
        print("there is no site yet; building it", flush=True)
        build.build(root)
    setting = str(build.read_settings(root).get("site_url") or "")
    address, _ = addresses.site(setting, addresses.repository(root))
    with serve.listen(site, address, host, port) as server:
        print(f"http://{host}:{server.server_address[1]}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
