//! How the study's figures follow from each other: from frames and bytes at the MAC level to the other three. So its tables
//! can be checked, and ours mean the same.

use super::ETHERNET;

/// Bytes of an IPv4 header, and of a TCP header, without options: the study's stations used none on data.
const HEADER: u64 = 20;
/// Bytes of the shortest frame, to which the study's analyser padded acknowledgements.
const SHORTEST: u64 = 60;

/// What the study counted at the MAC level of a download; Tx is from the station that fetched, acknowledgements
/// alone but for its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacCounts {
    /// Frames from the station.
    pub tx_frames: u64,
    /// Frames to the station.
    pub rx_frames: u64,
    /// Bytes from the station, padding included.
    pub tx_bytes: u64,
    /// Bytes to the station.
    pub rx_bytes: u64,
}

/// What the other levels have then, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derived {
    /// IP, from the station.
    pub network_tx: u64,
    /// IP, to the station.
    pub network_rx: u64,
    /// Frames of both ways.
    pub transport_frames: u64,
    /// TCP, of both ways.
    pub transport: u64,
    /// HTTP.
    pub application: u64,
}

/// From the MAC level to the others.
pub fn from_counts(mac: MacCounts) -> Derived {
    let MacCounts { tx_frames, rx_frames, tx_bytes, rx_bytes } = mac;
    // An acknowledgement has 40 bytes of headers; the rest up to the shortest frame is padding.
    let padding = (SHORTEST - ETHERNET - 2 * HEADER) * tx_frames;
    let network_tx = tx_bytes.saturating_sub(ETHERNET * tx_frames + padding);
    let network_rx = rx_bytes.saturating_sub(ETHERNET * rx_frames);
    let transport_frames = tx_frames + rx_frames;
    Derived {
        network_tx,
        network_rx,
        transport_frames,
        transport: (network_tx + network_rx).saturating_sub(HEADER * transport_frames),
        application: network_rx.saturating_sub(2 * HEADER * rx_frames),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source; MAC: Tx and Rx frames, Tx and Rx kilobytes; then kilobytes of IP Tx and Rx, TCP and HTTP, and TCP's frames.
    type Row = (&'static str, [u64; 4], [u64; 4], u64);

    const ROWS: [Row; 3] = [
        ("Lin", [15_966, 27_905, 958, 42_245], [639, 41_854, 41_616, 40_738], 43_871),
        ("VMWin", [19_898, 29_849, 1_194, 42_365], [796, 41_947, 41_748, 40_753], 49_747),
        ("VMLin", [16_718, 27_927, 1_003, 42_254], [669, 41_863, 41_638, 40_745], 44_645),
    ];

    #[test]
    fn the_studys_levels_follow_from_its_frames() {
        for (source, [tx_frames, rx_frames, tx, rx], expected, frames) in ROWS {
            let mac = MacCounts { tx_frames, rx_frames, tx_bytes: tx * 1000, rx_bytes: rx * 1000 };
            let found = from_counts(mac);
            assert_eq!(found.transport_frames, frames, "{source}");
            let bytes = [found.network_tx, found.network_rx, found.transport, found.application];
            for (found, expected) in bytes.into_iter().zip(expected) {
                // Both were rounded to a thousand, and what they are compared with as well.
                assert!(found.abs_diff(expected * 1000) <= 1_500, "{source}: {found} and {expected} K");
            }
            // Its acknowledgements were padded, all of them.
            assert!((SHORTEST * tx_frames).abs_diff(tx * 1000) <= 500, "{source}");
        }
    }
}
