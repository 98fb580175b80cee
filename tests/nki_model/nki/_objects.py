"""NKIObject: the classes that kernels may use."""

import inspect
from dataclasses import MISSING, Field
from typing import Any


class NKIObject:
    """Base class of the classes that kernels use.

    A subclass without an initializer of its own gets one, whether it is a dataclass or not: a parameter for each
    annotated name and each class attribute that is not a function, in that order (documented in the language guide).
    """

    _nki_fields: dict[str, Any] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {name: cls.__dict__.get(name, MISSING) for name in inspect.get_annotations(cls)}
        for name, value in cls.__dict__.items():
            if not name.startswith("_") and not callable(value) and not isinstance(value, (property, staticmethod)):
                own.setdefault(name, value)
        cls._nki_fields = {**cls._nki_fields, **own}
        if "__init__" not in cls.__dict__ and all(base.__init__ in _GENERATED for base in cls.__bases__):
            cls.__init__ = _initialiser
            _GENERATED.add(_initialiser)


def _initialiser(self: Any, *args: Any, **options: Any) -> None:
    fields = type(self)._nki_fields
    if len(args) > len(fields) or any(name not in fields for name in options):
        raise TypeError(f"{type(self).__name__} has the fields {', '.join(fields)}")
    given = {**dict(zip(fields, args)), **options}
    for name, default in fields.items():
        if isinstance(default, Field):
            default = default.default_factory() if default.default_factory is not MISSING else default.default
        value = given.get(name, default)
        if value is MISSING:
            raise TypeError(f"{type(self).__name__} needs {name}")
        object.__setattr__(self, name, value)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


_GENERATED: set[Any] = {object.__init__, NKIObject.__init__}
