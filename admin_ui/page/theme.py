"""Gradio's own parts in the colours of base.css, whose contrast holds in the light and in the dark."""

from __future__ import annotations

import inspect

import gradio as gr

LOOK = {
    "body_background_fill": "var(--paper)",
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--dim)",
    "background_fill_primary": "var(--card)",
    "background_fill_secondary": "var(--sunk)",
    "border_color_primary": "var(--line)",
    "border_color_accent": "var(--act)",
    "color_accent": "var(--act)",
    "color_accent_soft": "var(--busy-tint)",
    "link_text_color": "var(--act)",
    "link_text_color_hover": "var(--act)",
    "link_text_color_active": "var(--act)",
    "link_text_color_visited": "var(--act)",
    "accordion_text_color": "var(--ink)",
    "block_background_fill": "none",
    "block_border_width": "0px",
    "block_padding": "0px",
    "block_shadow": "none",
    "block_info_text_color": "var(--dim)",
    "block_label_text_color": "var(--ink)",
    "block_title_text_color": "var(--ink)",
    "block_title_text_weight": "600",
    "checkbox_background_color": "var(--card)",
    "checkbox_background_color_selected": "var(--act)",
    "checkbox_border_color": "var(--edge)",
    "checkbox_border_color_selected": "var(--act)",
    "checkbox_label_text_color": "var(--ink)",
    "checkbox_label_text_color_selected": "var(--ink)",
    "checkbox_label_background_fill": "none",
    "checkbox_label_background_fill_hover": "none",
    "checkbox_label_background_fill_selected": "none",
    "checkbox_label_border_color": "transparent",
    "checkbox_label_padding": "0px",
    "checkbox_label_shadow": "none",
    "input_background_fill": "var(--card)",
    "input_background_fill_focus": "var(--card)",
    "input_border_color": "var(--edge)",
    "input_border_color_focus": "var(--act)",
    "input_border_width": "1px",
    "input_padding": "0.5rem 0.625rem",
    "input_placeholder_color": "var(--dim)",
    "input_radius": "6px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "button_border_width": "1px",
    "button_primary_background_fill": "var(--act)",
    "button_primary_background_fill_hover": "var(--act)",
    "button_primary_border_color": "var(--act)",
    "button_primary_border_color_hover": "var(--act)",
    "button_primary_text_color": "var(--on-act)",
    "button_primary_text_color_hover": "var(--on-act)",
    "button_secondary_background_fill": "var(--card)",
    "button_secondary_background_fill_hover": "var(--sunk)",
    "button_secondary_border_color": "var(--edge)",
    "button_secondary_border_color_hover": "var(--edge)",
    "button_secondary_text_color": "var(--ink)",
    "button_secondary_text_color_hover": "var(--ink)",
    "button_cancel_background_fill": "var(--card)",
    "button_cancel_background_fill_hover": "var(--bad-tint)",
    "button_cancel_border_color": "var(--bad)",
    "button_cancel_border_color_hover": "var(--bad)",
    "button_cancel_text_color": "var(--bad)",
    "button_cancel_text_color_hover": "var(--bad)",
    "error_background_fill": "var(--bad-tint)",
    "error_border_color": "var(--bad)",
    "error_text_color": "var(--bad)",
    "layout_gap": "0.75rem",
    "form_gap_width": "0.75rem",
    "panel_background_fill": "none",
    "panel_border_width": "0px",
}


def theme() -> gr.themes.Base:
    """Return the theme. The colours are CSS variables that change with the theme themselves."""
    base = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    known = inspect.signature(base.set).parameters
    dark = {f"{name}_dark": value for name, value in LOOK.items() if f"{name}_dark" in known}
    return base.set(**LOOK, **dark)
