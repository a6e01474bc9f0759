r"""Tables for LaTeX papers, in the form of ``booktabs``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

_SPECIAL = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"→": r"$\to$", "±": r"$\pm$", "×": r"$\times$", "−": "$-$", "–": "--", "…": r"\dots{}"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$"},
    **{"<": "$<$", ">": "$>$", "|": "$|$", "≤": r"$\leq$", "≥": r"$\geq$"},
}


def latex_text(text: str) -> str:
    r"""Text that LaTeX sets as it stands.

    Example:
        >>> print(latex_text("flickr8k_64: 5 % → text"))
        flickr8k\_64: 5 \% $\to$ text
    """
    return "".join(_SPECIAL.get(mark, mark) for mark in text)


def latex_table(
    heads: Sequence[Sequence[str]],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    label: str,
    parts: Mapping[int, str] = MappingProxyType({}),
) -> str:
    r"""A ``table`` with ``booktabs`` rules; needs ``\usepackage{booktabs}``.

    Args:
        heads: Lines of the head, each with as many cells as a row; equal neighbours of all lines
            but the last are joined.
        rows: Cells, of which the first names the row; they are set as they stand, so that text in
            them has gone through :func:`latex_text`.
        caption: Text above the table.
        label: For ``\ref``.
        parts: Headings of groups of rows, each by the number of its first row.

    Raises:
        ValueError: A line has another number of cells.
    """
    width = len(heads[-1])
    if any(len(line) != width for line in (*heads, *rows)):
        raise ValueError(f"each line of a table has its {width} cells")
    lines = [r"\begin{table}[t]", r"\centering", rf"\caption{{{latex_text(caption)}}}"]
    lines += [rf"\label{{{label}}}", rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}", r"\toprule"]
    for head in heads[:-1]:
        lines += _joined(head)
    lines += [_line([latex_text(cell) for cell in heads[-1]]), r"\midrule"]
    for number, row in enumerate(rows):
        if number in parts:
            lines += [r"\midrule"] if number else []
            lines.append(
                rf"\multicolumn{{{width}}}{{l}}{{\emph{{{latex_text(parts[number])}}}}} \\"
            )
        lines.append(_line(row))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _joined(head: Sequence[str]) -> list[str]:
    """A line of a head in which equal neighbours are one cell, and the rules below these."""
    cells, rules, start = [], [], 0
    while start < len(head):
        end = start
        while end + 1 < len(head) and head[end + 1] == head[start]:
            end += 1
        text, span = latex_text(head[start]), end - start + 1
        cells.append(text if span == 1 else rf"\multicolumn{{{span}}}{{c}}{{{text}}}")
        if text:
            rules.append(rf"\cmidrule(lr){{{start + 1}-{end + 1}}}")
        start = end + 1
    return [_line(cells), "".join(rules)] if rules else [_line(cells)]
