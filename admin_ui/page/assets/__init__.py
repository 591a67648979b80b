"""The page's own style and script, in the head of the HTML: there before Gradio's, which take a second."""

from collections.abc import Sequence
from importlib.resources import files

from admin_ui.page.markup import Html

# Browsers ask the host's root for an icon otherwise, where below a sub-path somebody else answers.
ICON = (
    '<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=%27http://www.w3.org/2000/svg%27 viewBox=%270 0 16 16%27%3E'
    "%3Ccircle cx=%278%27 cy=%278%27 r=%278%27 fill=%27%231b5cbd%27/%3E%3Cpath d=%27M7 3h2v5l3 2-1 2-4-3z%27"
    ' fill=%27white%27/%3E%3C/svg%3E">'
)
STYLES = ("base", "jobs", "form", "history", "logs")
SCRIPTS = (  # each takes from `jobs` what those before it have put there
    *("frames", "elements", "kept", "address", "opening", "refreshing", "going", "messages", "silence", "header"),
    *("times", "dialogs", "keys", "inputs", "focus", "jobs", "form", "history", "logs"),
)


def head() -> Html:
    """Return what a page that holds the section needs in its head."""
    return Html(f"{ICON}<style>{_all(STYLES, 'css')}</style><script>{_all(SCRIPTS, 'js')}</script>")


def _all(names: Sequence[str], ending: str) -> str:
    return "\n".join(files(__name__).joinpath(f"{name}.{ending}").read_text("utf-8") for name in names)
