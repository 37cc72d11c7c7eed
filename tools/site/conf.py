"""Sphinx's configuration of the site. tools/site/build.py lays out the pages and starts Sphinx."""

import json
import os
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

facts = json.loads(Path(os.environ["TAPEGRAD_SITE_FACTS"]).read_text(encoding="utf-8"))
addresses = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]

project = "tapegrad"
copyright = "the tapegrad developers, MIT licence"
version = release = facts["version"]
published = facts["published"]

extensions = ["myst_parser", "sphinx_copybutton", "sphinx.ext.intersphinx", "links", "mathml", "sources"]
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
exclude_patterns = ["_pictures/**"]
nitpicky = True
default_role = None
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
suppress_warnings = ["config.cache"]
tapegrad_names = set(facts["names"])
tapegrad_sources = facts["sources"]

# Inventories of others would need a network; ours, objects.inv, is written for them.
intersphinx_mapping: dict[str, object] = {}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
highlight_language = "python"

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_title = f"tapegrad {release}"
html_static_path = [str(HERE / "static"), facts["static"]]
html_css_files = ["site.css"]
html_favicon = str(HERE / "static/tapegrad.svg")
# Pages with no others below them need no list of those.
alone = ["index", "gallery", "numerics", "performance", "benches", "comparison", "catalogue", "changes", "contributing"]
html_sidebars: dict[str, list[str]] = {name: [] for name in alone}
html_show_sourcelink = False
html_copy_source = False
# The copy of the newest version is the one that search engines should name.
html_baseurl = f"{addresses['Documentation']}stable/"
html_theme_options = {
    "logo": {
        "text": "tapegrad" if published else f"tapegrad {release}",
        "image_light": str(HERE / "static/tapegrad.svg"),
        "image_dark": str(HERE / "static/tapegrad.svg"),
    },
    # A published site has a list of versions, which stands beside their folders: tools/site/versions.py writes it.
    **({"switcher": {"json_url": f"{addresses['Documentation']}versions.json", "version_match": release}} if published else {}),
    "check_switcher": False,
    "navbar_start": ["navbar-logo", "version-switcher"] if published else ["navbar-logo"],
    "navbar_end": ["theme-switcher", "navbar-icon-links"],
    "icon_links": [{"name": "Source", "url": addresses["Source"], "icon": "fa-brands fa-github"}],
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "back_to_top_button": True,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
