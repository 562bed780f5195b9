"""A notebook as Markdown with its outputs, by nbconvert.

What the cells printed becomes a block ```` ```output ````; pictures become files beside the page.
Nothing is executed: the outputs are those that are committed.
"""

import re
from pathlib import Path

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# The cells as nbconvert's template has them, but with named fences and words for pictures.
TEMPLATE = """{%- extends 'markdown/index.md.j2' -%}
{% block input %}
```python
{{ cell.source }}
```
{% endblock input %}
{% block stream %}
````output
{{ output.text | strip_ansi | trim }}
````
{% endblock stream %}
{% block data_text scoped %}
````output
{{ output.data['text/plain'] | strip_ansi | trim }}
````
{% endblock data_text %}
{% block data_svg %}
![what the cell above drew]({{ output.metadata.filenames["image/svg+xml"] | path2url }})
{% endblock data_svg %}
{% block data_png %}
![what the cell above drew]({{ output.metadata.filenames["image/png"] | path2url }})
{% endblock data_png %}
{% block error %}
````output
{{ super() | strip_ansi | trim }}
````
{% endblock error %}
"""


def convert(path: Path) -> tuple[str, dict[str, bytes]]:
    """The notebook's Markdown, and its pictures by the file name that the Markdown has for them.

    ValueError where the file is no notebook, or a cell has code and no output was ever made.
    """
    import nbformat  # a tool of the site's alone, and slow to import
    from jinja2 import DictLoader
    from nbconvert import MarkdownExporter

    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # noqa: BLE001  nbformat raises many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path.name} is no notebook: {reason}") from None
    exporter = MarkdownExporter(
        extra_loaders=[DictLoader({"journal.md.j2": TEMPLATE})], template_file="journal.md.j2"
    )
    names = {"unique_key": path.stem, "output_files_dir": f"{path.stem}-files"}
    text, resources = exporter.from_notebook_node(notebook, resources=names)
    return ANSI.sub("", text).strip() + "\n", dict(resources.get("outputs") or {})
