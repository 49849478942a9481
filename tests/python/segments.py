"""The table of segments, by pyarrow or by Python's own csv: sums by group and layer."""
import csv
import json
import sys

metadata = {}
if sys.argv[1].endswith(".parquet"):
    import pyarrow.parquet as pq

    file = pq.ParquetFile(sys.argv[1])
    metadata = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    rows = file.read().to_pylist()
else:
    with open(sys.argv[1], newline="") as lines:
        rows = list(csv.DictReader(lines))
    numbers = ["exchange", "start_ns", "start_unix_ns", "total_ns", "segment", "offset_ns", "time_ns"]
    for row in rows:
        row.update({name: int(row[name]) for name in numbers})

layers, segments, totals = {}, {}, {}
for row in rows:
    group = f"{row['kind']} by {row['initiator']}"
    layer = layers.setdefault(f"{group}: {row['layer']}", 0)
    layers[f"{group}: {row['layer']}"] = layer + row["time_ns"]
    key = f"{group}: {row['way']} {row['from']} {row['to']}"
    count, time_ns = segments.get(key, (0, 0))
    segments[key] = (count + 1, time_ns + row["time_ns"])
    totals.setdefault(group, {})[row["exchange"]] = row["total_ns"]
print(json.dumps({
    "columns": list(rows[0]), "rows": rows, "metadata": metadata, "layers": layers, "segments": segments,
    "totals": {group: [len(times), sum(times.values())] for group, times in totals.items()},
}))
