"""Decodes values of topics by what a schema registry says of their ids.

The base URL of the registry is the argument; standard input has a topic and a value (hexadecimal) a
line; standard output gets the value as JSON.
"""

import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

decode = AvroDeserializer(SchemaRegistryClient({"url": sys.argv[1]}))
for line in sys.stdin:
    topic, value = line.split()
    context = SerializationContext(topic, MessageField.VALUE)
    print(json.dumps(decode(bytes.fromhex(value), context), default=repr))
