"""How the documentation site is made: ``python -m sphinx -W --keep-going docs TARGET``. It needs no network."""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

from omeda_async import __version__

project = "omeda-async"
author = "the authors of omeda-async"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"omeda-async {__version__}"
html_copy_source = False
smartquotes = False

myst_heading_anchors = 3  # links go to headings by the anchors that a code host gives them

autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
python_use_unqualified_type_names = True
maximum_signature_line_length = 100

nitpicky = True
_ELSEWHERE = (
    "aiohttp|aioresponses|asyncio|collections|contextlib|datetime|opentelemetry|os|pathlib|procrastinate|ssl|types"
)
_TYPE_VARIABLES = "Record|Receipt|Record_co|Receipt_co|CancelT|OptOutT|AnyOptOut|ApiErrorT|T"
nitpick_ignore_regex = [
    (r"py:.*", rf"({_ELSEWHERE})(\..*)?"),  # looking them up would take the network
    (
        r"py:class",
        r"Backend|(Deployment|Campaign|Transaction)Record|SSLContext|ClientSession|AbstractContextManager|PathLike|Opens|TakesHooks|.*\.TakesHooks",
    ),
    (r"py:exc", r"ConnectorException"),
    (r"py:class", rf"omeda_async\..*\.({_TYPE_VARIABLES})"),
    (r"py:class", r"omeda_async\.bulk\.(_job\.Work|_options\.OutboxSettings|(journal|outbox)\..*)"),
    (r"py:class", r"omeda_async\.sandbox\._(deployment_rules|message|opt_outs|windows)\..*"),
]

# What the library makes and gives: how it does that is nobody's business.
_GIVEN = {
    "BulkRun",
    "SharedRun",
    "Batcher",
    "Outbox",
    "OmedaClient",
    "Deployments",
    "OptOuts",
    "OcambaClient",
    "Campaigns",
}
_GIVEN |= {"JourneyManagerClient", "Transactions", "OmedaSandbox", "OcambaSandbox", "JourneyManagerSandbox"}
_GIVEN |= {"Faults", "Audit", "SandboxDeployment", "SandboxCampaign", "SandboxTransaction"}
_SHORT = re.compile(r":(class|func|meth):`(?=\w)")
# Files beside the documents, and the pages that show them.
_BESIDE = re.compile(r"\]\((?:\.\./)+(?:(benchmarks)/README|(CHANGELOG))\.md")


def _read_google(*about: Any) -> None:
    """Read sections; not with the extension, which takes a colon in an attribute's words for the end of its type."""
    app, _, name, thing, options, lines = about
    found = [_SHORT.sub(r":\1:`.", line) for line in lines]  # wherever it is
    lines[:] = GoogleDocstring(found, Config(), app, "object", name, thing, options).lines()


def _hide_how_it_is_made(*about: Any) -> tuple[str, str] | None:
    _, what, name, *_ = about
    return ("", "") if what == "class" and name.rpartition(".")[2] in _GIVEN else None


def _lead_to_pages(_app: Sphinx, _name: str, source: list[str]) -> None:
    source[0] = _BESIDE.sub(lambda found: f"](/{(found[1] or 'changes').lower()}.md", source[0])


def setup(app: Sphinx) -> None:
    """Connect what is ours."""
    app.connect("autodoc-process-docstring", _read_google)
    app.connect("autodoc-process-signature", _hide_how_it_is_made)
    app.connect("source-read", _lead_to_pages)
