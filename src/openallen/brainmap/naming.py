"""The service's naming rules: model to table, table to column, association to model."""

from __future__ import annotations

__all__ = ["model_of", "plural", "singular", "snake"]


def snake(model: str) -> str:
    """``SectionDataSet`` to ``section_data_set``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in model).lstrip("_")


def plural(word: str) -> str:
    """``structure_category`` to ``structure_categories``."""
    if word.endswith("y"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch")) else "s")


def singular(word: str) -> str:
    """``data_sets`` to ``data_set``; a word that is not a plural is unchanged."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("atlases"):
        return word[:-2]
    return word.removesuffix("s") if not word.endswith("ss") else word


def model_of(association: str) -> str:
    """Return the model an association most likely leads to: ``section_images`` to SectionImage."""
    return "".join(part.capitalize() for part in singular(association).split("_"))
