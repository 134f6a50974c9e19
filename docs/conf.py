"""Configuration of the documentation, which is built and read without any network."""

from importlib.metadata import version as installed_version
from importlib.resources import files

project = "fairlearnkit"
author = "the fairlearnkit developers"
copyright = f"2026, {author}"
release = version = installed_version("fairlearnkit")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # a link where the name is ours, code where it is not
# Methods inherited from scikit-learn point into its glossary.
suppress_warnings = ["ref.term"]

html_theme = "pydata_sphinx_theme"
html_title = project
html_theme_options = {
    "logo": {"text": project},
    "header_links_before_dropdown": 6,
    "navbar_persistent": ["search-button"],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"index": []}
# One file of MathJax with all that it may load, so that formulas need no network either.
mathjax_path = "tex-svg-full.js"
mathjax = files("sphinx-mathjax-offline") / "static" / "mathjax" / mathjax_path
html_static_path = ["_static", str(mathjax)]
html_css_files = ["fairlearnkit.css"]
html_show_sourcelink = html_copy_source = False

autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings tell types, with shapes
numpydoc_show_class_members = False  # the class template lists them
# What `numpydoc lint` cannot tell from the source alone; the other checks are its own.
numpydoc_validation_checks = {"GL08", "PR01", "PR02", "PR03", "RT01"}
numpydoc_validation_exclude = {
    r"\.(get|set)_(params|metadata_routing|\w+_request)$",  # scikit-learn's
    r"\.GroupThresholds\.(get|items|keys|values)$",  # Python's
    r"\.[A-Z_]+$",  # constants show the docstring of their class
    # Made by a function: attributes are documented, not the constructor.
    r"\.(FrontierComparison|GroupRates|Mixture|ParetoFrontier|Selection)$",
    r"\.(AuditReport|CriterionFinding|GroupRate|GroupScore|Resamples|ScoreBin)$",
    r"\.(SubgroupAudit|SubgroupCandidate|SubgroupRule)$",
}

bibtex_bibfiles = ["references.bib", "references_maths.bib"]
bibtex_reference_style = "author_year"

# Blocks copy without prompts and without what they print.
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"/(?!plot_)[^/]*\.py$",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("fairlearnkit",),
    "reference_url": {"fairlearnkit": None},
    "image_srcset": ["2x"],
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "plot_gallery": "True",
    "abort_on_example_error": True,
}


def link_public_name(app, env, node, contnode):
    """Link a public name that another module documents, such as a criterion on a metric's page."""
    name = node.get("reftarget", "")
    # Not a plain word: an attribute may be called as a function elsewhere is.
    if node.get("refdomain") != "py" or not any(c.isupper() or c in "_." for c in name):
        return None
    domain = env.get_domain("py")
    kinds = {"class", "data", "exception", "function"} | ({"method"} if "." in name else set())
    found = [
        full
        for full, entry in domain.objects.items()
        if full.endswith(f".{name}") and entry.objtype in kinds and not entry.aliased
    ]
    if len(found) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, contnode)


def setup(app):
    app.connect("missing-reference", link_public_name)
