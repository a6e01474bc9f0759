"""Results for people: tables for the terminal, plots, and pages with pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.reports.gallery import write_gallery as write_gallery
    from crosshash.reports.gallery import write_search_gallery as write_search_gallery
    from crosshash.reports.plots import loss_plot as loss_plot
    from crosshash.reports.plots import precision_at_plot as precision_at_plot
    from crosshash.reports.plots import precision_recall_plot as precision_recall_plot
    from crosshash.reports.plots import to_svg as to_svg
    from crosshash.reports.samples import sample_sheet as sample_sheet
    from crosshash.reports.samples import write_sample_sheet as write_sample_sheet
    from crosshash.reports.tables import map_table as map_table
    from crosshash.reports.tables import markdown_table as markdown_table
    from crosshash.reports.tables import rich_table as rich_table
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.reports.gallery": ["write_gallery", "write_search_gallery"],
            "crosshash.reports.plots": [
                "loss_plot",
                "precision_at_plot",
                "precision_recall_plot",
                "to_svg",
            ],
            "crosshash.reports.samples": ["sample_sheet", "write_sample_sheet"],
            "crosshash.reports.tables": ["map_table", "markdown_table", "rich_table"],
        },
    )
