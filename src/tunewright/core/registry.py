"""Turns `name` or `{name: {option: value}}` into an object, and back.

A component is a frozen dataclass registered under its family and name. Its fields are its whole
configuration: their types are checked, unknown options are refused with the closest known one, and
every problem is collected before an error is raised. A field made with `component(family)` holds another
component; a list stands for a nesting in the visible order (`[{clip: {norm: 1}}, adamw]` is a clip around
adamw) where the family's members have a field named `inner`; in a family with a chain (`register_chain`) it stands for
one after the other. A member that names one of its fields in a class variable `shorthand` may be written with that
field's value alone: `{quantized: nf4}` for `{quantized: {kind: nf4}}`.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pydantic

from tunewright.core.errors import Problem, RecipeError, closest, listed

T = TypeVar("T", bound=type)

_families: dict[str, dict[str, type]] = {}
_versions: dict[type, int] = {}
_chains: dict[str, type] = {}


def register(family: str, name: str, *, version: int = 1) -> Callable[[T], T]:
    """Class decorator: make a frozen dataclass known as `name` in `family`.

    `version` is raised when the same options come to mean something else.
    """

    def enter(cls: T) -> T:
        members = _families.setdefault(family, {})
        if name in members and members[name].__qualname__ != cls.__qualname__:
            raise ValueError(f"{family} {name!r} is registered twice")
        members[name] = cls
        _versions[cls] = version
        return cls

    return enter


def register_chain(family: str) -> Callable[[T], T]:
    """Class decorator: a list in place of a member of `family` makes this, a dataclass with the one field `parts`.

    A list of one is that one. What the class raises as ValueError is reported at the list.
    """

    def enter(cls: T) -> T:
        _chains[family] = cls
        return cls

    return enter


def members(family: str) -> dict[str, type]:
    """The registered classes of a family, by name."""
    return dict(_families.get(family, {}))


def component(family: str, *, optional: bool = False, **options: Any) -> Any:
    """A dataclass field that holds a member of `family`, or None where it is optional or None is its default.

    Takes what `dataclasses.field` takes.
    """
    return dataclasses.field(metadata={"family": family, "optional": optional}, **options)


def number(default: float | None) -> Any:
    """A dataclass field that holds a number or a schedule; None where None is its default."""
    return dataclasses.field(default=default, metadata={"family": "schedule", "plain": True})


def name_of(value: object) -> str:
    """The registered name of a component."""
    if type(value) in _chains.values():
        return " + ".join(name_of(part) for part in value.parts)  # type: ignore[attr-defined]
    for known in _families.values():
        for name, cls in known.items():
            if type(value) is cls:
                return name
    raise ValueError(f"{type(value).__name__} is not registered")


def dump(value: Any) -> Any:
    """A component as `{name: {every option}}`, so that defaults are written out."""
    if isinstance(value, (list, tuple)):
        return [dump(item) for item in value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    if type(value) in _chains.values():
        return [dump(part) for part in value.parts]  # type: ignore[attr-defined]
    options = {f.name: dump(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    version = _versions.get(type(value), 1)
    return {name_of(value) if version == 1 else f"{name_of(value)}@{version}": options}


def build(family: str, spec: Any, where: str = "") -> Any:
    """The component that `spec` describes.

    Args:
        family: which family the name is looked up in.
        spec: a name, `{name: {options}}`, a list of these (a nesting), or a finished component.
        where: the place in the recipe, for messages.

    Raises:
        RecipeError: with every problem that was found.
    """
    problems: list[Problem] = []
    built = _build(family, spec, where or family, problems)
    if problems:
        raise RecipeError(*problems)
    return built


def _build(family: str, spec: Any, where: str, problems: list[Problem]) -> Any:
    known = _families.get(family, {})
    chain = _chains.get(family)
    if isinstance(spec, (*known.values(), *([chain] if chain else []))):
        return spec
    if isinstance(spec, list) and chain:
        return _chain(chain, family, spec, where, problems)
    if isinstance(spec, list):
        return _nest(family, spec, where, problems)
    name, options = _split(spec, where, known, problems)
    if name is None:
        return None
    plain, _, version = name.partition("@")
    cls = known.get(plain)
    if cls is None:
        problems.append(
            Problem(
                where=where,
                found=f"there is no {family} named {name!r}",
                allowed=listed(sorted(known), len(known)),
                to_do=closest(plain, known) or "choose one of these",
            )
        )
        return None
    if version and version != str(_versions[cls]):
        problems.append(
            Problem(where=where, found=f"version {version} of {plain}", allowed=f"{plain}@{_versions[cls]}",
                    to_do="this recipe was written for another version of Tunewright: see the changelog")
        )  # fmt: skip
    return _construct(cls, options, f"{where}.{plain}", problems)


def _split(
    spec: Any, where: str, known: Mapping[str, type], problems: list[Problem]
) -> tuple[str | None, Mapping[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, Mapping) and len(spec) == 1:
        ((name, options),) = spec.items()
        if options is None:
            return str(name), {}
        if isinstance(options, Mapping):
            return str(name), options
        field = getattr(known.get(str(name).partition("@")[0]), "shorthand", None)
        if field is not None:
            return str(name), {field: options}
    problems.append(
        Problem(
            where=where,
            found=f"{spec!r}",
            allowed=f"a name, or one name with its options; names: {listed(sorted(known), len(known))}",
            to_do=f"for example `{where.rsplit('.', 1)[-1]}: {next(iter(sorted(known)), 'name')}`",
        )
    )
    return None, {}


def _chain(chain: type, family: str, specs: list[Any], where: str, problems: list[Problem]) -> Any:
    before = len(problems)
    if not specs:
        problems.append(Problem(where=where, found="an empty list", allowed="at least one component"))
    parts = [_build(family, spec, f"{where}[{i}]", problems) for i, spec in enumerate(specs)]
    if len(problems) > before:
        return None
    if len(parts) == 1:
        return parts[0]
    try:
        return chain(tuple(parts))
    except ValueError as error:
        problems.append(Problem(where=where, found=str(error)))
        return None


def _nest(family: str, specs: list[Any], where: str, problems: list[Problem]) -> Any:
    if not specs:
        problems.append(Problem(where=where, found="an empty list", allowed="at least one component"))
        return None
    built = _build(family, specs[-1], f"{where}[{len(specs) - 1}]", problems)
    for i in range(len(specs) - 2, -1, -1):
        name, options = _split(specs[i], f"{where}[{i}]", _families.get(family, {}), problems)
        if name is None or built is None:
            continue
        if options.get("inner") is not None:
            problems.append(
                Problem(
                    where=f"{where}[{i}].{name}.inner",
                    found="a component, while another one follows in the list",
                    allowed="one of the two: the list puts what follows inside",
                    to_do="remove `inner`, or write no list",
                )
            )
            continue
        built = _build(family, {name: {**options, "inner": built}}, f"{where}[{i}]", problems)
    return built


def _construct(cls: type, options: Mapping[str, Any], where: str, problems: list[Problem]) -> Any:
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    hints = typing.get_type_hints(cls, include_extras=True)
    before = len(problems)
    ready: dict[str, Any] = {}
    for name, given in options.items():
        if name not in fields:
            problems.append(
                Problem(
                    where=f"{where}.{name}",
                    found="an unknown option",
                    allowed=listed(sorted(fields)) or "no options",
                    to_do=closest(str(name), fields) or "remove it",
                )
            )
            continue
        field = fields[name]
        inner = field.metadata.get("family")
        if inner and given is None and (field.default is None or field.metadata.get("optional")):
            ready[name] = None
            continue
        if inner and not (field.metadata.get("plain") and isinstance(given, (int, float))):
            ready[name] = _build(inner, given, f"{where}.{name}", problems)
            continue
        ready[name] = checked(float if inner else hints[name], given, f"{where}.{name}", problems)
    for name, field in fields.items():
        missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if missing and name not in options:
            problems.append(Problem(where=f"{where}.{name}", found="nothing", allowed="this option is needed"))
    if len(problems) > before:
        return None
    try:
        return cls(**ready)
    except RecipeError as error:  # of a component that builds others itself; its places start with its own name
        parent = where.rsplit(".", 1)[0]
        problems.extend(dataclasses.replace(p, where=f"{parent}.{p.where}") for p in error.problems)
        return None
    except ValueError as error:
        problems.append(Problem(where=where, found=str(error)))
        return None


def checked(hint: Any, given: Any, where: str, problems: list[Problem]) -> Any:
    """`given` as the type `hint` (a pydantic type adapter decides); what does not fit goes to `problems`."""
    try:
        config = pydantic.ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
        return pydantic.TypeAdapter(hint, config=config).validate_python(given)
    except pydantic.ValidationError as error:
        for detail in error.errors():
            place = ".".join([where, *(str(part) for part in detail["loc"] if not str(part).startswith("function-"))])
            problems.append(Problem(where=place, found=f"{detail['input']!r}", allowed=detail["msg"]))
        return None
