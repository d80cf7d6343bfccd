"""Check one installed package: complete, typed, importable, and independent of other hosts.

Run by scripts/distribution.py with the Python of the environment that the wheel is installed in.
"""

import argparse
import importlib
import pkgutil
import sys
from importlib.metadata import distribution
from pathlib import Path

DISTRIBUTION = "mastra-workflows"


def check(package_name: str, without: list[str]) -> None:
    package = importlib.import_module(package_name)
    folder = Path(str(package.__file__)).parent
    if not folder.is_relative_to(sys.prefix):
        sys.exit(
            f"{package_name} was imported from {folder}, not from the environment {sys.prefix}"
        )
    if not (folder / "py.typed").is_file():
        sys.exit(f"{package_name} has no py.typed")
    for module in pkgutil.walk_packages(package.__path__, prefix=f"{package_name}."):
        importlib.import_module(module.name)
    for entry_point in distribution(DISTRIBUTION).entry_points:
        if entry_point.module.partition(".")[0] == package_name:
            loaded = entry_point.load()
            # Airflow does not start if the names of provider and distribution differ.
            if entry_point.group == "apache_airflow_provider":
                name = loaded()["package-name"]
                if name != DISTRIBUTION:
                    sys.exit(f"the provider's package-name is {name!r}, not {DISTRIBUTION!r}")
    if strangers := sorted(set(without) & set(sys.modules)):
        sys.exit(f"importing {package_name} also imported {', '.join(strangers)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument(
        "--without", nargs="+", default=[], help="modules that must not be imported"
    )
    arguments = parser.parse_args()
    check(arguments.package, arguments.without)
