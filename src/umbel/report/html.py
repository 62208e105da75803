"""HTML from text, escaped by construction."""

from html import escape

_VOID = {"img", "meta", "link", "br"}


class Markup(str):
    """Text that is HTML already; anything else is escaped when it is put into an element."""

    __slots__ = ()


def join(*children: str | None) -> Markup:
    """Pieces one after another; plain text is escaped, None is left out."""
    return Markup("".join(c if isinstance(c, Markup) else escape(c) for c in children if c is not None))


def tag(name: str, /, *children: str | None, **attributes: str | bool | None) -> Markup:
    """An element.

    Args:
        name: Its name.
        children: Text (escaped), `Markup` or None.
        attributes: A trailing or inner underscore stands for nothing or for "-" (`class_`, `data_value`);
            None and False are left out, True is written without a value.
    """
    written = ""
    for key, value in attributes.items():
        if value is not None and value is not False:
            attribute = key.rstrip("_").replace("_", "-")
            written += f" {attribute}" if value is True else f' {attribute}="{escape(str(value))}"'
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")
