"""Where the repository and its site are on the web, told by the git remote `origin`.

    git@github.com:OWNER/NAME.git   ->  https://github.com/OWNER/NAME, https://OWNER.github.io/NAME/
    https://gitlab.com/GROUP/NAME   ->  https://gitlab.com/GROUP/NAME, https://GROUP.gitlab.io/NAME/

Left out: hosts that publish no pages under an address that follows from the repository's; there the
setting `site_url` in website/zensical.toml gives the site's.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

BRANCH = "main"
LOOPBACK = "http://127.0.0.1:8000/"
SCP = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w-]+(?:\.[\w-]+)+):(?!//)(?P<path>[^/].*)")


@dataclass(frozen=True)
class Repository:
    """A repository on the web: its host, and its path there (owner/name)."""

    host: str
    path: str

    @property
    def address(self) -> str:
        return f"https://{self.host}/{self.path}"

    def of(self, name: str, *, folder: bool = False) -> str:
        """The address of a file or a folder of the main branch."""
        kind = "tree" if folder else "blob"
        between = "/-/" if "gitlab" in self.host else "/"
        return f"{self.address}{between}{kind}/{BRANCH}/{quote(name)}"

    @property
    def pages(self) -> str | None:
        """Where its host publishes its site, as far as that follows from the name."""
        owner, _, name = self.path.partition("/")
        service = {"github.com": "github.io", "gitlab.com": "gitlab.io"}.get(self.host)
        if service is None:
            return None
        domain = f"{owner.lower()}.{service}"
        return f"https://{domain}/" if name.lower() == domain else f"https://{domain}/{name}/"


def parse(remote: str) -> Repository | None:
    """A remote's address, in its https or ssh form; None for what is no place on the web."""
    remote = remote.strip()
    if "://" in remote:
        parts = urlsplit(remote)
        if parts.scheme not in ("https", "http", "ssh", "git", "git+ssh"):
            return None
        host, path = parts.hostname or "", parts.path
    else:
        match = SCP.fullmatch(remote)
        if match is None:
            return None
        host, path = match["host"], match["path"]
    path = path.strip("/").removesuffix(".git")
    if "." not in host or not re.fullmatch(r"[\w.~-]+(?:/[\w.~-]+)+", path):
        return None
    return Repository(host.lower(), path)


def repository(root: Path) -> Repository | None:
    """The repository that `origin` names; None without git or remote, or for a local one."""
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return parse(answer.stdout) if answer.returncode == 0 else None


def site(setting: str, repository: Repository | None) -> tuple[str, str]:
    """The site's address, with a slash at its end, and a sentence on where it comes from.

    The setting decides where there is one; else the remote; else it is this machine.
    """
    if setting:
        parts = urlsplit(setting)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ValueError(
                "website/zensical.toml: site_url is an address such as "
                f"https://example.org/journal/, or empty, not {setting!r}"
            )
        return setting.rstrip("/") + "/", "by site_url in website/zensical.toml"
    if repository is None:
        why = "git knows no remote `origin` on the web, so the site's address is this machine's"
        return LOOPBACK, f"{why}; feed and sitemap are for looking at, not for publishing"
    if repository.pages is None:
        why = f"no address of a site follows from {repository.address}; write it as site_url"
        return LOOPBACK, f"{why} into website/zensical.toml"
    return repository.pages, "by the git remote origin"
