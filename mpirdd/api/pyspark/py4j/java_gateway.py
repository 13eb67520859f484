"""Names that PySpark programs import to talk to Java. There is none here: each says so when it is used."""

from __future__ import annotations

from typing import Any, NoReturn

from mpirdd.protocol.errors import NotSupported


class JavaObject:
    """There are none; for ``isinstance``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _no_java(type(self).__name__)


class JavaClass(JavaObject):
    pass


class JavaPackage(JavaObject):
    pass


class JVMView(JavaObject):
    pass


class JavaGateway(JavaObject):
    pass


class GatewayClient(JavaObject):
    pass


class GatewayParameters(JavaObject):
    pass


class CallbackServerParameters(JavaObject):
    pass


def java_import(jvm_view: Any, import_str: str) -> NoReturn:
    _no_java("java_import")


def launch_gateway(*args: Any, **kwargs: Any) -> NoReturn:
    _no_java("launch_gateway")


def is_instance_of(gateway: Any, java_object: Any, java_class: Any) -> NoReturn:
    _no_java("is_instance_of")


def _no_java(name: str) -> NoReturn:
    raise NotSupported(f"mpirdd has no Java behind it, so py4j's {name} cannot be used")
