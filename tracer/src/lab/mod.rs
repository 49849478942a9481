//! The lab: a QEMU guest, a bridge, a NIC and a peer in network namespaces of their own.
