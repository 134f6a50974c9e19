"""Configuration of the documentation: ``make docs`` builds it, and it reads, without any network."""

import re
from importlib.metadata import version as installed_version

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

project = "fairlearnkit"
author = "the fairlearnkit developers"
copyright = f"2026, {author}"
release = version = installed_version("fairlearnkit")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
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
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"index": []}
html_static_path = ["_static"]
html_css_files = ["fairlearnkit.css"]
html_show_sourcelink = False
html_math_renderer = "mathml"

autosummary_generate = True
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
    r"\.(SubgroupAudit|SubgroupRule)$",
}

bibtex_bibfiles = ["references.bib"]
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

# ---------------------------------------------------------------------------------------------
# Formulas as MathML, which browsers show by themselves: no script, no fonts, no network.

logger = logging.getLogger(__name__)

# Commands that are common and that docutils does not know.
_TEX = {
    r"\argmax": r"\operatorname*{arg\,max}",
    r"\argmin": r"\operatorname*{arg\,min}",
    r"\dots": r"\ldots",
    r"\iff": r"\Longleftrightarrow",
    r"\implies": r"\Longrightarrow",
}


def _mathml(translator, node, *, block):
    """Return a formula as MathML; one that cannot be read is a warning, and shown as it is."""
    tex = re.sub(r"\\[a-z]+", lambda command: _TEX.get(command[0], command[0]), node.astext())
    if block and ("\\\\" in tex or "&" in tex) and r"\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    try:
        return str(latex2mathml.tex2mathml(tex, as_block=block))
    except MathError as error:
        logger.warning("formula: %s", error, location=node, type="math")
        return f"<code>{translator.encode(tex)}</code>"


def _visit_inline(translator, node):
    translator.body.append(_mathml(translator, node, block=False))
    raise nodes.SkipNode


def _visit_block(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math-block"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({node["number"]})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(_mathml(translator, node, block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app):
    """Register the renderer of formulas."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
