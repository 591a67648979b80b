"""The page: Gradio components whose HTML is made here, in Python, and everything on it is told by its address.

`mount.mount_page` makes the page of its own, `section.create_jobs_section` a part of another one. Both modules import
Gradio, which reads its environment then: `admin_ui.cli.set_gradio_environment` comes first. What only makes HTML does
not import it.
"""
