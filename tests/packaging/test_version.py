"""The version is said in landscape_widgets/_version.py; what cannot take it from there agrees."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import landscape_widgets as lw

REPOSITORY = Path(__file__).parents[2]


def test_the_installed_distribution_and_the_citation_have_the_version_of_the_package():
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.M) == [lw.__version__]
    try:
        installed = importlib.metadata.version("landscape-widgets")
    except importlib.metadata.PackageNotFoundError:
        return  # run from a checkout that is not installed
    assert installed == lw.__version__


def test_every_direct_requirement_is_tested_at_one_version_that_its_bounds_allow():
    from packaging.requirements import Requirement

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    pins = dict(
        line.lower().split("==")
        for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    declared = project["project"]["dependencies"]
    for extra in project["project"]["optional-dependencies"].values():
        declared = declared + extra
    for requirement in map(Requirement, declared):
        assert requirement.specifier.contains(pins[requirement.name.lower()]), requirement
        assert any(bound.operator == ">=" for bound in requirement.specifier), requirement
    for group in project["dependency-groups"].values():
        for requirement in map(Requirement, group):
            assert requirement.name.lower().replace("-", "_") in {
                name.replace("-", "_") for name in pins
            }
