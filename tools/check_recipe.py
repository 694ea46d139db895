"""Render the recipe for conda-forge, and build it where its channel answers.

pip install py-rattler-build
python tools/check_recipe.py            # needs no network
python tools/check_recipe.py --build    # needs conda-forge, and dist/ (tools/check_dist.py)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "packaging" / "conda" / "recipe.yaml"


def main() -> None:
    """Render and print what each package needs; build if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", action="store_true", help="build and test the packages")
    build = parser.parse_args().build
    for variant in rendered():
        recipe = variant.recipe
        print(f"{recipe.package.name} {recipe.package.version}")
        for needed in recipe.requirements.run:
            print(f"  {needed}")
    if build:
        _build()


def rendered() -> list[Any]:
    """Return the packages of the recipe, as rattler-build reads it for Linux."""
    from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe

    platform = PlatformConfig(target_platform="linux-64", build_platform="linux-64")
    recipe: list[Any] = Stage0Recipe.from_file(RECIPE).render(None, RenderConfig(platform))
    return recipe


def _build() -> None:
    from rattler_build import RattlerBuildError, Stage0Recipe, ToolConfiguration

    try:
        built = Stage0Recipe.from_file(RECIPE).run_build(
            tool_config=ToolConfiguration(test_strategy="native"),
            output_dir=ROOT / "dist" / "conda",
        )
    except RattlerBuildError as error:
        sys.exit(f"not built: {error}")
    for result in built:
        print(*result.packages)


if __name__ == "__main__":
    main()
