"""OpenMetrics text by Prometheus' own parser: every sample with its labels."""
import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with open(sys.argv[1]) as file:
    families = list(text_string_to_metric_families(file.read()))
print(json.dumps([
    {"family": family.name, "type": family.type, "unit": family.unit, "name": sample.name,
     "labels": sample.labels, "value": sample.value}
    for family in families for sample in family.samples
]))
