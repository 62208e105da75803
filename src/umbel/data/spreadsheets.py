"""Cells of tables that a spreadsheet opens."""

from umbel.data.cell_values import is_number

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def neutralised(text: str) -> str:
    r"""A text that no spreadsheet takes for a formula: with an apostrophe before it where it begins like one.

    Numbers stay as they are, "-5" too.

        >>> neutralised('=HYPERLINK("http://...")'), neutralised("-5"), neutralised("plain")
        ('\'=HYPERLINK("http://...")', '-5', 'plain')
    """
    return f"'{text}" if text.startswith(_FORMULA) and not is_number(text) else text
