"""The widget of a notebook; importing this needs anywidget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from openallen.viewer.assets import assets
from openallen.viewer.channel import Channel
from openallen.viewer.kinds import Kinds
from openallen.visuals import Visual

__all__ = ["NotebookView"]


class NotebookView(anywidget.AnyWidget):  # type: ignore[misc] # it has no types where it is missing
    """Live views of one thing, below its card; made by `openallen.view`.

    Parameters
    ----------
    visuals
        The views.
    kinds
        What answers them.
    name
        What tells the card from those of other outputs.
    html
        The card, which remains where there is no kernel.
    text
        The same as text.
    """

    _esm = assets().files.get("widget.js", b"").decode()
    _css = assets().files.get("widget.css", b"").decode()
    visuals = traitlets.List().tag(sync=True)
    card = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, visuals: Sequence[Visual], kinds: Kinds, *, name: str, html: str, text: str
    ) -> None:
        told = [{"kind": v.kind, "name": v.name, "title": v.title} for v in visuals]
        super().__init__(visuals=told, card=name)
        self._html = html
        self._text = text
        self._channel = Channel(visuals, kinds, self._reply)
        self.on_msg(self._hear)

    def _hear(self, widget: object, content: object, buffers: object) -> None:
        del widget, buffers
        self._channel.hear(content)

    def _reply(self, content: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        self.send(dict(content), list(buffers))

    def __repr__(self) -> str:
        return self._text

    def _ipython_display_(self, **options: Any) -> None:
        """Show the card, and the live views as an output of their own.

        Of two forms of one output, an exported notebook would keep the live one, which it has not.
        """
        del options
        display({"text/html": self._html, "text/plain": self._text}, raw=True)
        data, metadata = self._repr_mimebundle_()
        display(data, metadata=metadata, raw=True)
