"""Tables for papers."""

from __future__ import annotations

import pytest

from crosshash.reports.latex import latex_table, latex_text


def test_text_is_set_as_it_stands() -> None:
    assert latex_text(r"a_b & 5 % of {x} \ ~ ^ $ #") == (
        r"a\_b \& 5 \% of \{x\} \textbackslash{} \textasciitilde{} \textasciicircum{} \$ \#"
    )
    assert latex_text("0.5 ± 0.1 →") == r"0.5 $\pm$ 0.1 $\to$"
    assert latex_text("p < 0.05 | > 2") == "p $<$ 0.05 $|$ $>$ 2"
    assert latex_text("≤ 1 ≥") == r"$\leq$ 1 $\geq$"
    assert latex_text("−0.5 ↑ ↓") == r"$-$0.5 $\uparrow$ $\downarrow$"


def test_a_table_has_rules_and_joined_heads() -> None:
    heads = [["", "16 bits", "16 bits", "32 bits"], ["Method", "a", "b", "a"]]
    text = latex_table(heads, [["x", "1", "2", "3"]], caption="50 %", label="tab:x")
    assert r" & \multicolumn{2}{c}{16 bits} & 32 bits \\" in text
    assert r"\cmidrule(lr){2-3}\cmidrule(lr){4-4}" in text
    assert r"\begin{tabular}{lrrr}" in text
    assert r"\caption{50 \%}" in text
    order = [text.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert order == sorted(order)


def test_a_line_with_other_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        latex_table([["a", "b"]], [["1"]], caption="", label="")


def test_parts_have_a_heading_and_a_rule_between_them() -> None:
    rows = [["x", "1"], ["y", "2"], ["z", "3"]]
    parts = {0: "50 %", 2: "others"}
    text = latex_table([["a", "b"]], rows, caption="", label="", parts=parts)
    body = text[text.index("a & b") : text.index(r"\bottomrule")]
    assert body.splitlines() == [
        r"a & b \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\emph{50 \%}} \\",
        r"x & 1 \\",
        r"y & 2 \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\emph{others}} \\",
        r"z & 3 \\",
    ]
