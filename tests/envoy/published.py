"""Whether what proto/envoy says is what Envoy has published.

    buf build --output SET.binpb && python published.py SET.binpb

Every message, field, oneof, enum value and RPC there must be in the published
contract, which the package xds-protos has, with the same number and type.
"""

import importlib
import sys

from google.protobuf import descriptor_pb2

SAME = ("name", "number", "label", "type", "type_name", "proto3_optional")


def published(name):
    """The published file of this name."""
    module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    return file


def named(items, name, where):
    for item in items:
        if item.name == name:
            return item
    sys.exit(f"{where}: {name} is not published")


def same(ours, theirs, where):
    if ours != theirs:
        sys.exit(f"{where}: {ours!r} is published as {theirs!r}")


def compare_enum(ours, theirs, where):
    for value in ours.value:
        published_value = named(theirs.value, value.name, where)
        same(value.number, published_value.number, f"{where}.{value.name}")


def compare_message(ours, theirs, where):
    compared = 0
    for field in ours.field:
        published_field = named(theirs.field, field.name, where)
        place = f"{where}.{field.name}"
        for attribute in SAME:
            same(getattr(field, attribute), getattr(published_field, attribute), place)
        oneofs = [
            message.oneof_decl[one.oneof_index].name if one.HasField("oneof_index") else None
            for message, one in ((ours, field), (theirs, published_field))
        ]
        same(*oneofs, place)
        compared += 1
    for message in ours.nested_type:
        inner = named(theirs.nested_type, message.name, where)
        compared += compare_message(message, inner, f"{where}.{message.name}")
    for enum in ours.enum_type:
        compare_enum(enum, named(theirs.enum_type, enum.name, where), f"{where}.{enum.name}")
    return compared


def compare_service(ours, theirs, where):
    for method in ours.method:
        published_method = named(theirs.method, method.name, where)
        for attribute in ("input_type", "output_type", "client_streaming", "server_streaming"):
            same(
                getattr(method, attribute),
                getattr(published_method, attribute),
                f"{where}.{method.name}",
            )


def main(path):
    with open(path, "rb") as file:
        ours = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    compared = 0
    for file in ours.file:
        if not file.name.startswith("envoy/"):
            continue
        theirs = published(file.name)
        same(file.package, theirs.package, file.name)
        for message in file.message_type:
            inner = named(theirs.message_type, message.name, file.name)
            compared += compare_message(message, inner, f"{file.package}.{message.name}")
        for enum in file.enum_type:
            inner = named(theirs.enum_type, enum.name, file.name)
            compare_enum(enum, inner, f"{file.package}.{enum.name}")
        for service in file.service:
            inner = named(theirs.service, service.name, file.name)
            compare_service(service, inner, f"{file.package}.{service.name}")
    if compared == 0:
        sys.exit(f"{path} has nothing of Envoy's")
    print(f"{compared} fields are as Envoy has published them")


if __name__ == "__main__":
    main(sys.argv[1])
