"""Cells of tables that are opened in spreadsheet programs: a text must not become a formula that runs."""

import re

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FORMULA = re.compile(r"'*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")  # the last four are their wide forms


def safe_cell(text: str) -> str:
    """A text as the cell of a CSV file: one that begins as a formula does gets an apostrophe in front.

    Spreadsheet programs run cells that begin with =, +, -, @, a tab or a carriage return, whatever table they come
    from; after an apostrophe they show the text. Numbers stay as they are.

        >>> safe_cell("=1+1"), safe_cell("-1.5"), safe_cell("north")
        ("'=1+1", '-1.5', 'north')
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def safe_value(value: object) -> object:
    """A value as the cell of a CSV file: texts as `safe_cell` has them, all else as it is."""
    return safe_cell(value) if isinstance(value, str) else value


def plain_cell(cell: str) -> str:
    """The text of which `safe_cell` made this cell.

    >>> plain_cell("'=1+1"), plain_cell("north")
    ('=1+1', 'north')
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
