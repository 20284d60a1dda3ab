//! Is an answer of `reject` what the RFCs ask for? Checked by another hand's parser, checksums included.

use anyhow::{Context as _, Result, bail, ensure};
use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice, icmpv4, icmpv6};

/// Checks `reply` as the answer to `frame`: a reset to TCP, else "port unreachable".
pub fn check(frame: &[u8], reply: &[u8]) -> Result<()> {
    let (asked, told) = (parse(frame)?, parse(reply)?);
    ensure!(
        frame[0..6] == reply[6..12] && frame[6..12] == reply[0..6],
        "link addresses"
    );
    let (from, to) = ends(&asked)?;
    ensure!(ends(&told)? == (to, from), "addresses of the answer");
    checksums(&told)?;
    match (&asked.transport, &told.transport) {
        (Some(TransportSlice::Tcp(asked)), Some(TransportSlice::Tcp(told))) => reset(asked, told),
        (_, Some(TransportSlice::Icmpv4(told))) => {
            let wanted = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
            ensure!(told.icmp_type() == wanted, "{:?}", told.icmp_type());
            ensure!(told.payload().starts_with(&frame[14..42]), "what is quoted");
            Ok(())
        }
        (_, Some(TransportSlice::Icmpv6(told))) => {
            let wanted = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
            ensure!(told.icmp_type() == wanted, "{:?}", told.icmp_type());
            ensure!(told.payload().starts_with(&frame[14..62]), "what is quoted");
            Ok(())
        }
        (_, other) => bail!("not an answer: {other:?}"),
    }
}

fn parse(frame: &[u8]) -> Result<SlicedPacket<'_>> {
    SlicedPacket::from_ethernet(frame).context("a frame that etherparse reads")
}

fn ends(packet: &SlicedPacket<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    Ok(match &packet.net {
        Some(NetSlice::Ipv4(ip)) => (
            ip.header().source().into(),
            ip.header().destination().into(),
        ),
        Some(NetSlice::Ipv6(ip)) => (
            ip.header().source().into(),
            ip.header().destination().into(),
        ),
        other => bail!("not IP: {other:?}"),
    })
}

/// RFC 9293 section 3.5.2: the reset has the number that was acknowledged; where nothing was, it acknowledges what the
/// segment took up of sequence space.
fn reset(asked: &etherparse::TcpSlice<'_>, told: &etherparse::TcpSlice<'_>) -> Result<()> {
    if asked.ack() {
        ensure!(told.rst() && !told.ack() && !told.syn(), "flags");
        let wanted = asked.acknowledgment_number();
        ensure!(told.sequence_number() == wanted, "sequence number");
        return ports(asked, told);
    }
    let length = asked.payload().len() as u32 + u32::from(asked.syn()) + u32::from(asked.fin());
    ensure!(told.rst() && told.ack() && !told.syn(), "flags");
    ensure!(told.sequence_number() == 0, "sequence number");
    let wanted = asked.sequence_number().wrapping_add(length);
    ensure!(told.acknowledgment_number() == wanted, "acknowledgement");
    ports(asked, told)
}

fn ports(asked: &etherparse::TcpSlice<'_>, told: &etherparse::TcpSlice<'_>) -> Result<()> {
    let ports = (asked.destination_port(), asked.source_port());
    ensure!(
        (told.source_port(), told.destination_port()) == ports,
        "ports"
    );
    Ok(())
}

fn checksums(packet: &SlicedPacket<'_>) -> Result<()> {
    let Some(net) = &packet.net else {
        bail!("not IP")
    };
    if let NetSlice::Ipv4(ip) = net {
        let header = ip.header().to_header();
        ensure!(
            header.calc_header_checksum() == header.header_checksum,
            "IPv4 checksum"
        );
    }
    match (&packet.transport, net) {
        (Some(TransportSlice::Tcp(tcp)), NetSlice::Ipv4(ip)) => {
            let (header, ip) = (tcp.to_header(), ip.header().to_header());
            let sum = header.calc_checksum_ipv4(&ip, tcp.payload())?;
            ensure!(sum == header.checksum, "TCP checksum");
        }
        (Some(TransportSlice::Tcp(tcp)), NetSlice::Ipv6(ip)) => {
            let (header, ip) = (tcp.to_header(), ip.header().to_header());
            let sum = header.calc_checksum_ipv6(&ip, tcp.payload())?;
            ensure!(sum == header.checksum, "TCP checksum");
        }
        (Some(TransportSlice::Icmpv4(icmp)), _) => {
            let header = icmp.header();
            let sum = header.icmp_type.calc_checksum(icmp.payload());
            ensure!(sum == header.checksum, "ICMP checksum");
        }
        (Some(TransportSlice::Icmpv6(icmp)), NetSlice::Ipv6(ip)) => {
            let header = icmp.header();
            let (from, to) = (ip.header().source(), ip.header().destination());
            let sum = header.icmp_type.calc_checksum(from, to, icmp.payload())?;
            ensure!(sum == header.checksum, "ICMPv6 checksum");
        }
        other => bail!("no transport: {other:?}"),
    }
    Ok(())
}
