"""A Perfetto trace by Perfetto's own definitions: slices by track, and flows."""
import json
import sys

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

trace = Trace()
with open(sys.argv[1], "rb") as file:
    trace.ParseFromString(file.read())
tracks, begun, slices, flows, ends = {}, {}, [], {}, {}
for packet in trace.packet:
    if packet.HasField("track_descriptor"):
        tracks[packet.track_descriptor.uuid] = packet.track_descriptor
    if not packet.HasField("track_event"):
        continue
    event, track = packet.track_event, tracks[packet.track_event.track_uuid]
    assert packet.timestamp_clock_id == 3, "not CLOCK_MONOTONIC"
    if event.type == TrackEvent.TYPE_SLICE_BEGIN:
        assert track.uuid not in begun, "a slice within another"
        begun[track.uuid] = (packet.timestamp, event)
        for flow in list(event.flow_ids) + list(event.terminating_flow_ids):
            flows[flow] = flows.get(flow, 0) + 1
        for flow in event.terminating_flow_ids:
            ends[flow] = ends.get(flow, 0) + 1
    else:
        start, first = begun.pop(track.uuid)
        assert start >= ends.get(("track", track.uuid), 0) and packet.timestamp >= start, "slices overlap"
        ends[("track", track.uuid)] = packet.timestamp
        notes = {note.name: note.uint_value or note.string_value for note in first.debug_annotations}
        slices.append({
            "track": track.name, "process": tracks[track.parent_uuid].process.process_name,
            "category": first.categories[0], "name": first.name, "start_ns": start,
            "time_ns": packet.timestamp - start, "exchange": notes["exchange"] or 0,
        })
assert not begun, "slices without an end"
print(json.dumps({
    "slices": slices, "flows": sorted(flows.values()),
    "ended_once": [count for flow, count in ends.items() if not isinstance(flow, tuple)],
}))
