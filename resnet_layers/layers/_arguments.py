"""Values whose fields are the arguments of layers: flat outside, one value inside."""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from resnet_layers.layers._composite import Composite

_Layer = TypeVar("_Layer", bound=type)


class Value:
    """A frozen dataclass whose fields are arguments of a layer."""

    def arguments(self, *left_out: str) -> dict[str, Any]:
        """The fields by their names, as they are."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {f.name: getattr(self, f.name) for f in fields if f.name not in left_out}

    def checked(self, **values: Any) -> None:
        """Gives the fields their accepted values, in `__post_init__`."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


class Shaped(Composite):
    """A layer whose arguments are the fields of a geometry; each is an attribute as well."""

    geometry_arguments: ClassVar[tuple[str, ...]]

    def shape_by(self, geometry: Any) -> None:
        """Keeps a geometry."""
        self.follow(geometry.style)
        self._geometry = geometry
        for name, value in geometry.arguments("style").items():
            setattr(self, name, value)

    def own_config(self) -> dict[str, Any]:
        names = ("filters", *self.geometry_arguments)
        geometry = {name: getattr(self._geometry, name) for name in names}
        return {**geometry, "style": self.style.get_config()}


def takes(geometry: type[Value], *left_out: str, **defaults: Any) -> Callable[[_Layer], _Layer]:
    """Gives a layer's constructor an argument for each field of a geometry.

    Outside, signatures and configs are flat: `ConvBlock(64, strides=2, groups=32)`. Inside, the
    constructor gets these arguments as one dict, `_geometry`; `filters` and `style` it takes
    itself. In the docstring of the layer, that of the fields takes the place of `**geometry`.

    Args:
        geometry: Its class.
        *left_out: Fields that the layer cannot honour, or means otherwise.
        **defaults: Defaults that differ from the fields'.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    arguments = [
        inspect.Parameter(
            field.name,
            keyword,
            default=defaults.get(field.name, field.default),
            annotation=field.type,
        )
        for field in dataclasses.fields(geometry)  # type: ignore[arg-type]
        if field.name not in ("filters", "style", *left_out)
    ]

    def decorate(layer: Any) -> Any:
        construct = layer.__init__
        signature = inspect.signature(construct)
        own = [p for p in signature.parameters.values() if p.name != "_geometry"]
        at = next(i for i, parameter in enumerate(own) if parameter.kind is keyword)

        @functools.wraps(construct)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            if len(args) >= at:
                construct(self, *args, **kwargs)  # Python says how many there may be
            given = {p.name: kwargs.pop(p.name, p.default) for p in arguments}
            construct(self, *args, _geometry=given, **kwargs)

        flat = signature.replace(parameters=[*own[:at], *arguments, *own[at:]])
        __init__.__signature__ = flat  # type: ignore[attr-defined]
        layer.__init__ = __init__
        layer.geometry_arguments = tuple(p.name for p in arguments)
        layer.__doc__ = _documented(layer.__doc__, geometry.__doc__, layer.geometry_arguments)
        return layer

    return decorate


def _documented(doc: str, source: Any, names: tuple[str, ...]) -> str:
    """A docstring with the paragraphs of another one for the arguments that it lacks."""
    paragraphs = {
        name: re.search(rf"^ {{8}}{name}: .*\n(?: {{12}}.*\n)*", source, re.M) for name in names
    }
    found = [match[0] for name, match in paragraphs.items() if match and f" {name}: " not in doc]
    return re.sub(r"^ {8}\*\*geometry: .*\n", lambda _: "".join(found), doc, flags=re.M)
