"""The website: the repository's prose staged, rendered, set with formulas, checked and served.

addresses       where the repository and the site are on the web, by the git remote
links           where each link of a page leads on the site
markdown        a page as HTML, in GitHub's dialect
notebooks       a notebook as Markdown
staging         all pages, written where the site generator reads them
home,           timeline  the pages that are made from ROADMAP.md and the notes
graph           the notes' graph as a drawing
passthrough     hands staged HTML through the site generator unchanged
mathematics     formulas, set by KaTeX while the site is built
feed            the feed of the posts
inspection      what the built site must not have: broken links, things loaded from elsewhere
build,          serve  the two commands
"""
