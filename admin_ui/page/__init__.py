"""The page: Gradio components whose text is made here, in Python, and everything on it is told by its address.

Importing this package imports Gradio, which reads its environment then: `admin_ui.cli.set_gradio_environment` first.
"""

from admin_ui.page.mount import mount_page
from admin_ui.page.section import create_jobs_section

__all__ = ["create_jobs_section", "mount_page"]
