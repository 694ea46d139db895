"""AllenSDK's ``RmaApi``: rows of brain-map.org, asked for by RMA."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from openallen.compat.allensdk.api.api import Api
from openallen.compat.asking import answer_of

__all__ = ["RmaApi"]


class RmaApi(Api):
    """Builds RMA as AllenSDK does, and returns the rows of its answer.

    Parameters
    ----------
    base_uri
        As for `Api`.
    """

    MODEL: ClassVar[str] = "model::"
    PIPE: ClassVar[str] = "pipe::"
    SERVICE: ClassVar[str] = "service::"
    CRITERIA: ClassVar[str] = "rma::criteria"
    INCLUDE: ClassVar[str] = "rma::include"
    OPTIONS: ClassVar[str] = "rma::options"
    ORDER: ClassVar[str] = "order"
    NUM_ROWS: ClassVar[str] = "num_rows"
    ALL: ClassVar[str] = "all"
    START_ROW: ClassVar[str] = "start_row"
    COUNT: ClassVar[str] = "count"
    ONLY: ClassVar[str] = "only"
    EXCEPT: ClassVar[str] = "except"
    EXCPT: ClassVar[str] = "excpt"
    TABULAR: ClassVar[str] = "tabular"
    DEBUG: ClassVar[str] = "debug"
    PREVIEW: ClassVar[str] = "preview"
    TRUE: ClassVar[str] = "true"
    FALSE: ClassVar[str] = "false"
    IS: ClassVar[str] = "$is"
    EQ: ClassVar[str] = "$eq"
    # --- asking -----------------------------------------------------------------------------------

    def model_query(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Return rows of a model.

        Parameters
        ----------
        *args, **kwargs
            As for `model_stage`. Without ``num_rows``, the service sends 50 rows at most.
        """
        found: list[dict[str, Any]] = answer_of(self.model_stage(*args, **kwargs), self._source)
        return found

    def service_query(self, *args: Any, **kwargs: Any) -> Any:
        """Return what a computed service answers.

        Parameters
        ----------
        *args, **kwargs
            As for `service_stage`.
        """
        return answer_of(self.service_stage(*args, **kwargs), self._source)

    # --- text of requests -------------------------------------------------------------------------

    def build_query_url(self, stage_clauses: str | Sequence[str], fmt: str = "json") -> str:
        """Return the URL of a request."""
        text = stage_clauses if isinstance(stage_clauses, str) else ",".join(stage_clauses)
        return f"{self._base}/api/v2/data/query.{fmt}?q={text}"

    def build_schema_query(self, clazz: str | None = None, fmt: str = "json") -> str:
        """Return the URL of what the service says of a model, or of all."""
        return f"{self._base}/api/v2/data{f'/{clazz}' if clazz else ''}.{fmt}"

    def model_stage(self, model: str, **kwargs: Any) -> str:
        """Return the text that asks for a model.

        Parameters
        ----------
        model
            Its name.
        **kwargs
            ``criteria`` and ``include`` (text, or parts that are put together), and those of
            `options_clause`.
        """
        parts = [f"{self.MODEL}{model}"]
        for name, clause in (("criteria", self.CRITERIA), ("include", self.INCLUDE)):
            given = kwargs.get(name)
            if given is not None:
                parts += [clause, given if isinstance(given, str) else "".join(given)]
        told = {name: value for name, value in kwargs.items() if name != self.DEBUG}
        options = self.options_clause(**told)  # AllenSDK leaves debug out, too
        return ",".join([*parts, options] if options else parts)

    def service_stage(
        self, service_name: str, parameters: Iterable[tuple[str, Any]] | None = None
    ) -> str:
        """Return the text that asks a computed service."""
        told = parameters.items() if isinstance(parameters, Mapping) else parameters
        return f"{self.SERVICE}{service_name}{self.tuple_filters(told or ())}"

    def pipe_stage(self, pipe_name: str, parameters: Iterable[tuple[Any, ...]]) -> str:
        """Return the text that hands rows on to the next part."""
        return f"{self.PIPE}{pipe_name}{self.tuple_filters(parameters)}"

    def options_clause(self, **kwargs: Any) -> str:
        """Return the text of options.

        Parameters
        ----------
        **kwargs
            ``only``, ``except`` (``excpt``), ``tabular``, ``num_rows``, ``start_row``, ``order``,
            ``count``, ``debug``.
        """
        excluded = kwargs.get(self.EXCEPT) or kwargs.get(self.EXCPT)
        rows = kwargs.get(self.NUM_ROWS)
        told = self.quote_string(rows) if rows == self.ALL else rows
        start, count = kwargs.get(self.START_ROW), kwargs.get(self.COUNT)
        parts = [
            self.only_except_tabular_clause(self.ONLY, kwargs.get(self.ONLY)),
            self.only_except_tabular_clause(self.EXCEPT, excluded),
            self.only_except_tabular_clause(self.TABULAR, kwargs.get(self.TABULAR)),
            "" if rows is None else f"[num_rows$eq{told}]",
            "" if start is None else f"[start_row$eq{start}]",
            self.order_clause(kwargs.get(self.ORDER)),
            "" if count is None else f"[count$eq{self.TRUE if count else self.FALSE}]",
            self.debug_clause(kwargs.get(self.DEBUG)),
        ]
        text = "".join(parts)
        return f"{self.OPTIONS}{text}" if text else ""

    def only_except_tabular_clause(self, filter_type: str, attribute_list: Any) -> str:
        """Return the text that chooses columns."""
        return f"[{filter_type}$eq{_joined(attribute_list)}]" if attribute_list else ""

    def order_clause(self, order_list: Any = None) -> str:
        """Return the text that orders rows."""
        return f"[order$eq{_joined(order_list)}]" if order_list else ""

    def debug_clause(self, debug_value: str | None = None) -> str:
        """Return the text that asks how a request is understood."""
        return "" if debug_value is None else f"[debug$eq{self.quote_string(debug_value)}]"

    def filter(self, key: str, value: Any) -> str:
        """Return the text of one filter."""
        return f"[{key}$eq{value}]"

    def filters(self, filters: Mapping[str, Any]) -> str:
        """Return the text of filters by column."""
        return "".join(self.filter(key, value) for key, value in filters.items())

    def tuple_filters(self, filters: Iterable[Sequence[Any]]) -> str:
        """Return the text of filters given as column, operator (or none) and value."""
        parts = []
        for told in sorted(filters, key=list):
            key, *middle, value = told
            parts.append(f"[{key}{middle[0] if middle else self.EQ}{_joined(value)}]")
        return "".join(parts)

    def quote_string(self, the_string: str) -> str:
        """Return a text in single quotes."""
        return f"'{the_string}'"


def _joined(value: Any) -> str:
    """Return several values with commas between them; a text, and one value, as they are."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    return ",".join(map(str, value))
