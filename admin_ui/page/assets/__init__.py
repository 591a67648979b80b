"""The page's own style and script, in the head of the HTML: there before Gradio's, which take a second."""

from importlib.resources import files

from admin_ui.page.markup import Html

PARTS = ("base", "jobs", "form", "history", "logs")


def head() -> Html:
    """Return what a page that holds the section needs in its head."""
    return Html(f"<style>{_all('css')}</style><script>{_all('js')}</script>")


def _all(ending: str) -> str:
    found = (files(__name__).joinpath(f"{part}.{ending}") for part in PARTS)
    return "\n".join(file.read_text("utf-8") for file in found if file.is_file())
