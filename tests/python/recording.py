"""A recording by pyarrow: sights of frames whose headers were read, and addresses of flows."""
import json
import sys

import pyarrow as pa

stream = pa.ipc.open_stream(sys.argv[1])
metadata = {key.decode(): value.decode() for key, value in stream.schema.metadata.items()}
hops, kinds = json.loads(metadata["vmhop.hops"]), json.loads(metadata["vmhop.kinds"])
header = json.loads(metadata["vmhop.header"])
table = stream.read_all()
sights, flows = [], {}
for row in table.to_pylist():
    if row["note"] is not None:
        note = json.loads(row["note"])
        if "flow" in note:
            flows[str(note["flow"]["flow"])] = note["flow"]
    elif row["kind"] != 0:
        ahead = header["started_unix_ns"] - header["started_monotonic_ns"]
        kind = kinds[str(row["kind"] & 0x7F)]
        sights.append({
            "time_ns": row["time_ns"] + ahead, "hop": hops[str(row["hop"])], "kind": kind, "len": row["len"],
            "seq": row["seq"], "ack": row["ack"], "flow": str(row["flow"]), "tcp_flags": row["tcp_flags"],
        })
print(json.dumps({"rows": table.num_rows, "sights": sights, "flows": flows}))
